//! What kept a run from being faster.

use super::metrics::StageReport;

/// From this share on of what there is, something is used up.
const FULL: f64 = 0.9;

/// What was used in a run.
#[derive(Debug, Clone)]
pub(super) struct Usage<'a> {
    pub(super) seconds: f64,
    pub(super) cores: f64,
    /// CPU time of the generator, in seconds.
    pub(super) generator_cpu_s: f64,
    /// CPU time of the node, in seconds; `None` when it is not known.
    pub(super) node_cpu_s: Option<f64>,
    /// The node's stages, the busiest first.
    pub(super) stages: &'a [StageReport],
}

/// Names what limited the run: `generator`, `cpu`, `stage NAME` or `unknown`, and says why.
pub(super) fn limit(usage: &Usage<'_>) -> (String, String) {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let of_core = |seconds: f64| percent(seconds / usage.seconds);
    let node = usage.node_cpu_s;
    let all = (usage.generator_cpu_s + node.unwrap_or_default()) / (usage.seconds * usage.cores);
    let mut shares = vec![format!(
        "generator {} of a core",
        of_core(usage.generator_cpu_s)
    )];
    if let Some(node) = node {
        shares.push(format!("node {} of a core", of_core(node)));
        shares.push(format!("both {} of {} cores", percent(all), usage.cores));
    } else {
        shares.push("the node's CPU time is not known".to_owned());
    }
    let stages: Vec<String> = usage
        .stages
        .iter()
        .map(|stage| format!("{} {}", stage.stage, percent(stage.busy_share)))
        .collect();
    shares.push(if stages.is_empty() {
        "the node has no metrics of stages".to_owned()
    } else {
        format!("stages busy: {}", stages.join(", "))
    });
    let by = if all >= FULL {
        "cpu".to_owned()
    } else if usage.generator_cpu_s / usage.seconds >= FULL {
        "generator".to_owned()
    } else if let Some(stage) = usage.stages.first() {
        format!("stage {}", stage.stage)
    } else {
        "unknown".to_owned()
    };
    (by, shares.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_named() {
        let stage = |stage: &str, busy_share| StageReport {
            stage: stage.to_owned(),
            busy_s: busy_share,
            busy_share,
            queue_max: None,
        };
        let stages = [stage("commit", 0.7), stage("seal", 0.1)];
        let usage = Usage {
            seconds: 10.0,
            cores: 2.0,
            generator_cpu_s: 4.0,
            node_cpu_s: Some(15.0),
            stages: &stages,
        };
        let by = |usage: Usage<'_>| limit(&usage).0;
        assert_eq!(by(usage.clone()), "cpu");
        let rested = Usage {
            node_cpu_s: Some(5.0),
            ..usage.clone()
        };
        assert_eq!(by(rested.clone()), "stage commit");
        let (_, evidence) = limit(&rested);
        assert_eq!(
            evidence,
            "generator 40 % of a core; node 50 % of a core; both 45 % of 2 cores; stages busy: commit 70 %, seal 10 %"
        );
        let busy = Usage {
            generator_cpu_s: 9.5,
            ..rested.clone()
        };
        assert_eq!(by(busy), "generator");
        let silent = Usage {
            stages: &[],
            node_cpu_s: None,
            ..rested
        };
        assert_eq!(by(silent), "unknown");
    }
}
