//! What a node says of itself at `/metrics`, in Prometheus' text format.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

/// Seconds that each stage of the pipeline has worked, by the label `stage`.
const BUSY: &str = "weft_stage_seconds_sum";
/// What waits before each stage, by the label `stage`.
const QUEUE: &str = "weft_stage_queue_depth";
/// Time from a transaction's arrival until it is in a state, by the label `state`.
const STATES: &str = "weft_transaction_seconds";

/// One reading: value by name and labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics(Vec<Sample>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// How busy one stage was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// Name of the stage.
    pub stage: String,
    /// Time that it worked, in seconds.
    pub busy_s: f64,
    /// The same as a share of the run's time.
    pub busy_share: f64,
    /// Most that was seen waiting before it, of samples once a second; `None` when the node does
    /// not say.
    pub queue_max: Option<f64>,
}

/// How long transactions took to come to one state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateReport {
    /// The state.
    pub state: String,
    /// Transactions that came to it.
    pub count: f64,
    /// Mean, in milliseconds.
    pub mean_ms: f64,
    /// 99th percentile, in milliseconds: the upper bound of the bucket that it is in; `None` when it
    /// is above all bounds.
    pub p99_ms: Option<f64>,
}

impl Metrics {
    /// Reads what it understands; lines that are none are left out.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(parse_line).collect())
    }

    fn labelled<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a Sample, &'a str)> {
        self.0
            .iter()
            .filter(move |sample| sample.name == name)
            .filter_map(move |sample| Some((sample, sample.labels.get(label)?.as_str())))
    }

    /// Sums by a label over all other labels.
    fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (sample, value) in self.labelled(name, label) {
            *sums.entry(value.to_owned()).or_default() += sample.value;
        }
        sums
    }

    /// What waits before each stage.
    pub(super) fn queues(&self) -> BTreeMap<String, f64> {
        self.by_label(QUEUE, "stage")
    }

    /// How busy each stage was since `before`, the busiest first; empty when the node does not say.
    pub(super) fn stages_since(
        &self,
        before: &Self,
        elapsed: Duration,
        queues: &BTreeMap<String, f64>,
    ) -> Vec<StageReport> {
        let earlier = before.by_label(BUSY, "stage");
        let mut stages: Vec<StageReport> = self
            .by_label(BUSY, "stage")
            .into_iter()
            .map(|(stage, busy)| {
                let busy_s = busy - earlier.get(&stage).copied().unwrap_or_default();
                StageReport {
                    busy_s,
                    busy_share: busy_s / elapsed.as_secs_f64(),
                    queue_max: queues.get(&stage).copied(),
                    stage,
                }
            })
            .collect();
        stages.sort_by(|a, b| b.busy_s.total_cmp(&a.busy_s));
        stages
    }

    /// How long transactions took since `before`; empty when the node does not say.
    pub(super) fn states_since(&self, before: &Self) -> Vec<StateReport> {
        let difference = |name: &str| {
            let earlier = before.by_label(name, "state");
            let mut now = self.by_label(name, "state");
            for (state, value) in &mut now {
                *value -= earlier.get(state).copied().unwrap_or_default();
            }
            now
        };
        let sums = difference(&format!("{STATES}_sum"));
        let counts = difference(&format!("{STATES}_count"));
        let mut states: Vec<StateReport> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0.0)
            .map(|(state, count)| StateReport {
                mean_ms: 1000.0 * sums.get(&state).copied().unwrap_or_default() / count,
                p99_ms: self.quantile_ms(before, &state, 0.99 * count),
                count,
                state,
            })
            .collect();
        states.sort_by(|a, b| a.mean_ms.total_cmp(&b.mean_ms));
        states
    }

    /// The least bound of a bucket below which are that many.
    fn quantile_ms(&self, before: &Self, state: &str, wanted: f64) -> Option<f64> {
        let name = format!("{STATES}_bucket");
        let up_to = |metrics: &Self, bound: &str| -> f64 {
            metrics
                .labelled(&name, "state")
                .filter(|(sample, of)| {
                    *of == state && sample.labels.get("le").is_some_and(|le| le == bound)
                })
                .map(|(sample, _)| sample.value)
                .sum()
        };
        let bounds: BTreeSet<&str> = self
            .labelled(&name, "state")
            .filter(|(_, of)| *of == state)
            .filter_map(|(sample, _)| Some(sample.labels.get("le")?.as_str()))
            .collect();
        bounds
            .into_iter()
            .filter(|bound| up_to(self, bound) - up_to(before, bound) >= wanted)
            .filter_map(|bound| bound.parse().ok())
            .filter(|bound: &f64| bound.is_finite())
            .min_by(f64::total_cmp)
            .map(|seconds| seconds * 1000.0)
    }
}

/// `name{label="value",...} number`.
fn parse_line(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (name, labels, value) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, value) = rest.rsplit_once('}')?;
            (name, parse_labels(labels)?, value)
        }
        None => {
            let (name, value) = line.split_once(' ')?;
            (name, BTreeMap::new(), value)
        }
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.split_whitespace().next()?.parse().ok()?,
    })
}

fn parse_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(characters.next()?.1),
                (_, character) => value.push(character),
            }
        };
        labels.insert(name.trim().to_owned(), value);
        let (_, after) = rest.split_at_checked(end + 1)?;
        text = after.trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
# HELP weft_stage_seconds_sum Time\n\
# TYPE weft_stage_seconds_sum counter\n\
weft_stage_seconds_sum{chain_id=\"1\",stage=\"execute\"} 1.5\n\
weft_transaction_seconds_sum{state=\"durable\"} 1\n\
weft_transaction_seconds_count{state=\"durable\"} 10\n\
weft_transaction_seconds_bucket{state=\"durable\",le=\"0.01\"} 10\n\
weft_transaction_seconds_bucket{state=\"durable\",le=\"+Inf\"} 10\n";

    const AFTER: &str = "\
weft_stage_seconds_sum{chain_id=\"1\",stage=\"execute\"} 3.5\n\
weft_stage_seconds_sum{chain_id=\"1\",stage=\"commit\"} 0.5\n\
weft_stage_seconds_sum{chain_id=\"2\",stage=\"commit\"} 2.5\n\
weft_stage_queue_depth{stage=\"commit\"} 3\n\
weft_transaction_seconds_sum{state=\"durable\"} 3\n\
weft_transaction_seconds_count{state=\"durable\"} 110\n\
weft_transaction_seconds_bucket{state=\"durable\",le=\"0.01\"} 60\n\
weft_transaction_seconds_bucket{state=\"durable\",le=\"0.025\"} 109\n\
weft_transaction_seconds_bucket{state=\"durable\",le=\"+Inf\"} 110\n\
plain 7\n\
odd{a=\"x\\\"},y\",b=\"\"} 8 1700000000\n\
nonsense\n";

    #[test]
    fn stages_are_compared() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        let stages = after.stages_since(&before, Duration::from_secs(4), &after.queues());
        let expected = [
            ("commit", 3.0, 0.75, Some(3.0)),
            ("execute", 2.0, 0.5, None),
        ]
        .map(|(stage, busy_s, busy_share, queue_max)| StageReport {
            stage: stage.to_owned(),
            busy_s,
            busy_share,
            queue_max,
        });
        assert_eq!(stages, expected);
        assert!(
            before
                .stages_since(&after, Duration::from_secs(1), &BTreeMap::new())
                .len()
                == 1
        );
        assert!(
            Metrics::default()
                .stages_since(&before, Duration::from_secs(1), &BTreeMap::new())
                .is_empty()
        );
    }

    #[test]
    fn states_are_compared() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        let states = after.states_since(&before);
        let expected = StateReport {
            state: "durable".to_owned(),
            count: 100.0,
            mean_ms: 20.0,
            p99_ms: Some(25.0),
        };
        assert_eq!(states, [expected]);
        assert!(before.states_since(&before).is_empty());
    }

    #[test]
    fn odd_lines() {
        let metrics = Metrics::parse(AFTER);
        let odd = metrics
            .0
            .iter()
            .find(|sample| sample.name == "odd")
            .unwrap();
        assert_eq!(odd.labels["a"], "x\"},y");
        assert_eq!((odd.labels["b"].as_str(), odd.value), ("", 8.0));
        assert!(
            metrics
                .0
                .iter()
                .any(|sample| sample.name == "plain" && sample.value == 7.0)
        );
        assert_eq!(metrics.0.len(), Metrics::parse(AFTER).0.len());
        assert_eq!(Metrics::parse("nonsense\na{b} 1\na{b=\"} 1\n").0, []);
    }
}
