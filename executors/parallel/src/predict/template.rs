use std::hash::{DefaultHasher, Hasher};

use alloy_primitives::{Address, B256};

use super::{
    Observed,
    call::{Call, MAX_WORDS, address_in},
    names::{NamedPattern, Names},
    pattern::{Access, Pattern, Place, Source, Witness},
    resolve::{MAX_HASHES, is_argument, is_variable},
};

/// Patterns of a template.
pub(super) const MAX_PATTERNS: usize = 32;

/// Those among them that are slots which may be another in each call.
const MAX_WITNESSED: usize = 8;

/// Addresses in calldata that tell calls of one selector apart.
pub(super) const CONTEXT_ADDRESSES: usize = 2;

/// Searches in vain after which no more is searched for.
const MAX_FRUITLESS: u8 = 8;

/// What calls of one kind are expected to do.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    /// Running average of the time that execution took, in nanoseconds.
    pub(super) time: u64,
    /// Up to 255.
    pub(super) observations: u8,
    /// Searches among all mappings in vain, one after another.
    pub(super) fruitless: u8,
    /// Calldata's words that name other contracts which the call uses. With their values there are
    /// templates of their own, for what depends on them and is not in calldata: a router's pools.
    pub(super) context_words: [Option<u8>; CONTEXT_ADDRESSES],
    pub(super) patterns: Vec<Pattern>,
    named: Vec<NamedPattern>,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        let parts = |template: &Self| {
            let Self {
                time,
                observations,
                fruitless,
                context_words,
                ..
            } = template;
            (*time, *observations, *fruitless, *context_words)
        };
        parts(self) == parts(other) && self.patterns == other.patterns
    }
}

impl Witness {
    /// Hashes are not random: they are kept across restarts. Where they are equal by chance or by
    /// intent, a slot is taken for what it is not, or not yet for what it is.
    pub(super) fn new(call: &Call<'_>) -> Self {
        let fold = |hash: u64| (hash ^ (hash >> 32)) as u32;
        let mut sender = DefaultHasher::new();
        sender.write(call.sender().as_slice());
        let mut words = DefaultHasher::new();
        let mut any = false;
        for (_, word) in call.words() {
            words.write(word.as_slice());
            any = true;
        }
        Self {
            sender: fold(sender.finish()),
            words: if any { fold(words.finish()).max(1) } else { 0 },
        }
    }
}

impl Template {
    pub(super) fn named(&self) -> &[NamedPattern] {
        &self.named
    }

    pub(super) fn name(&mut self, names: &Names) {
        self.named.clear();
        self.named.extend(
            self.patterns
                .iter()
                .filter(|pattern| pattern.is_predicted())
                .map(|pattern| NamedPattern::new(pattern, names)),
        );
    }

    /// Hashes that a search may cost. One that was in vain leaves half to the next.
    pub(super) const fn budget(&self) -> usize {
        if self.fruitless >= MAX_FRUITLESS {
            0
        } else {
            MAX_HASHES >> self.fruitless
        }
    }

    pub(super) const fn has_context(&self) -> bool {
        matches!(self.context_words, [Some(_), _])
    }

    /// The addresses that tell this call from others; `None` when nothing does.
    pub(super) fn context(&self, call: &Call<'_>) -> Option<[Address; CONTEXT_ADDRESSES]> {
        let address = |position: Option<u8>| {
            position
                .and_then(|position| call.word(position))
                .and_then(address_in)
                .unwrap_or_default()
        };
        self.has_context().then(|| self.context_words.map(address))
    }

    /// Finds the words that name contracts, unless some are known.
    pub(super) fn find_context(&mut self, call: &Call<'_>, observed: &Observed<'_>) {
        if self.has_context() {
            return;
        }
        let mut seen = [None; CONTEXT_ADDRESSES];
        let mut free = self.context_words.iter_mut();
        for (position, word) in call.words() {
            let Some(address) = address_in(word) else {
                continue;
            };
            let other = address != call.to() && word != call.sender();
            if other
                && !seen.contains(&Some(address))
                && observed
                    .slots
                    .iter()
                    .any(|(account, ..)| *account == address)
            {
                let (Some(free), Some(seen)) =
                    (free.next(), seen.iter_mut().find(|seen| seen.is_none()))
                else {
                    return;
                };
                *free = Some(position);
                *seen = Some(address);
            }
        }
    }

    /// Counts an observation. `search` is whether a search among all mappings found anything.
    pub(super) fn count(&mut self, time: Option<u64>, search: Option<bool>) {
        self.time = match (self.time, time) {
            (known, None) => known,
            (0, Some(time)) => time,
            // One that was interrupted says little.
            (known, Some(time)) => known - known / 4 + time.min(known.saturating_mul(4)) / 4,
        };
        self.observations = self.observations.saturating_add(1);
        self.fruitless = match search {
            None => self.fruitless,
            Some(true) => 0,
            Some(false) => self.fruitless.saturating_add(1),
        };
    }

    /// Learns from what a call was seen at, and takes out of `accesses` all but what belongs into
    /// the template of the call's context.
    pub(super) fn observe(
        &mut self,
        call: &Call<'_>,
        accesses: &mut Vec<Access>,
        is_ours: impl Fn(&Pattern) -> bool,
    ) {
        let witness = Witness::new(call);
        self.observe_places(call, accesses, witness);

        let observations = self.observations;
        let mut new = Vec::new();
        let mut unknown: Vec<Access> = Vec::new();
        accesses.retain(|access| {
            let patterns = explain(access, call, observations);
            if !patterns.iter().all(&is_ours) {
                return true;
            }
            if is_unknown(access, call) {
                unknown.push(access.clone());
            } else {
                new.extend(patterns);
            }
            false
        });
        self.observe_unknown(call, &unknown, witness);
        self.patterns.retain(Pattern::is_kept);
        for pattern in new {
            self.add(pattern);
        }
    }

    /// Patterns that name a place: takes out of `accesses` what they explain.
    fn observe_places(&mut self, call: &Call<'_>, accesses: &mut Vec<Access>, witness: Witness) {
        let mut explained = vec![false; accesses.len()];
        for pattern in &mut self.patterns {
            if matches!(pattern.place, Place::Unknown) {
                continue;
            }
            let at = pattern.at(call);
            let mut write = None;
            let mut hits = Vec::new();
            for (access, explained) in accesses.iter().zip(&mut explained) {
                if at.as_ref().is_some_and(|(account, place)| {
                    *account == access.account && *place == access.place
                }) {
                    write = Some(write.unwrap_or(false) | access.write);
                    hits.push(explained);
                }
            }
            match write {
                Some(write) => pattern.hit(write, witness),
                None => pattern.miss(),
            }
            if pattern.witness.is_none() {
                hits.into_iter().for_each(|explained| *explained = true);
            }
        }
        let mut explained = explained.into_iter();
        accesses.retain(|_| !explained.next().unwrap_or(false));
    }

    /// Slots of which nobody knows where they come from: one pattern for each account, and a note
    /// of the slots, because those that come again in other calls are variables.
    fn observe_unknown(&mut self, call: &Call<'_>, unknown: &[Access], witness: Witness) {
        let mut known: Vec<Address> = Vec::new();
        for pattern in &mut self.patterns {
            if !matches!(pattern.place, Place::Unknown) {
                continue;
            }
            let account = pattern.at(call).map(|(account, _)| account);
            let mut hits = unknown
                .iter()
                .filter(|access| Some(access.account) == account)
                .peekable();
            if hits.peek().is_some() {
                pattern.hit(hits.any(|access| access.write), witness);
                known.extend(account);
            } else {
                pattern.miss();
            }
        }
        // With more of them than can be noted, each gets its turn.
        let start = usize::from(self.observations).saturating_mul(MAX_WITNESSED);
        let start = start.checked_rem(unknown.len()).unwrap_or(0);
        for access in unknown.iter().cycle().skip(start).take(unknown.len()) {
            let account = call.source(&access.account.into_word());
            if !known.contains(&access.account) {
                let write = unknown
                    .iter()
                    .any(|other| other.account == access.account && other.write);
                known.push(access.account);
                self.add(Pattern::new(
                    account,
                    Place::Unknown,
                    write,
                    self.observations,
                ));
            }
            if let Place::Slot(slot) = access.place {
                let place = Place::Slot(Source::Fixed(slot));
                self.add(Pattern::noted(account, place, access.write, witness));
            }
        }
    }

    /// Adds a pattern unless it is there. Where there is no room, it takes the place of the one that
    /// is right least often, if that is less than can be hoped of it.
    fn add(&mut self, pattern: Pattern) {
        let same = |old: &Pattern| old.account == pattern.account && old.place == pattern.place;
        if self.patterns.iter().any(same) {
            return;
        }
        let is_note = |old: &Pattern| old.witness.is_some();
        let notes = self.patterns.iter().filter(|old| is_note(old)).count();
        let only_notes = is_note(&pattern) && notes >= MAX_WITNESSED;
        if self.patterns.len() < MAX_PATTERNS && !only_notes {
            self.patterns.push(pattern);
            return;
        }
        let replaceable = self
            .patterns
            .iter_mut()
            .filter(|old| !only_notes || is_note(old));
        if let Some(worst) = replaceable.min_by_key(|old| old.score)
            && worst.score < pattern.score
        {
            *worst = pattern;
        }
    }
}

/// Whether nothing tells where the slot comes from.
fn is_unknown(access: &Access, call: &Call<'_>) -> bool {
    match &access.place {
        Place::Unknown => true,
        Place::Slot(slot) => !is_variable(slot) && !is_argument(call, slot),
        Place::Account | Place::Entry(_) => false,
    }
}

/// Patterns that an access may be an instance of.
fn explain(access: &Access, call: &Call<'_>, observations: u8) -> Vec<Pattern> {
    let account = call.source(&access.account.into_word());
    let pattern = |place| Pattern::new(account, place, access.write, observations);
    match &access.place {
        Place::Slot(slot) => {
            let source = call.source(slot);
            let fixed = Source::Fixed(*slot);
            let mut patterns = Vec::with_capacity(2);
            if source == fixed || is_variable(slot) {
                patterns.push(pattern(Place::Slot(fixed)));
            }
            // The other will soon be seen to be wrong.
            if source != fixed && *slot != B256::ZERO {
                patterns.push(pattern(Place::Slot(source)));
            }
            patterns
        }
        place => place
            .map(|key| Some(call.source(key)))
            .map(pattern)
            .into_iter()
            .collect(),
    }
}

/// Whether all that a template has is what can be.
pub(super) fn is_valid(template: &Template) -> bool {
    template.patterns.len() <= MAX_PATTERNS
        && template
            .context_words
            .iter()
            .flatten()
            .all(|position| *position < MAX_WORDS)
}
