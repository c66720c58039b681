use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, BuildHasherDefault},
};

use alloy_primitives::map::DefaultHashBuilder;

use super::lane::Lane;
use crate::{crew::Crew, hash::AsItIs};

/// The places of a lane, in as many parts as there are threads: a hash each, of which the lowest bit
/// says whether the lane has changed it. Equal places have equal hashes, and in equal parts.
pub(super) type Marks = Vec<Vec<u64>>;

/// The places of a lane.
pub(super) fn marks(lane: &Lane, hasher: &DefaultHashBuilder, parts: usize) -> Marks {
    let places = &lane.places;
    let most = places.accounts.len().saturating_add(places.slots.len()) / parts.max(1);
    let mut marks: Marks = (0..parts)
        .map(|_| Vec::with_capacity(most.saturating_add(most / 8)))
        .collect();
    let mut add = |hash: u64, written: bool| {
        // The upper half of the bits spread over the parts.
        let part = ((hash >> 32) * u64::try_from(parts).unwrap_or(1)) >> 32;
        if let Some(marks) = marks.get_mut(usize::try_from(part).unwrap_or(0)) {
            marks.push(hash & !1 | u64::from(written));
        }
    };
    for account in &places.accounts {
        add(hasher.hash_one(account.address), account.written);
    }
    for slot in &places.slots {
        let address = places.account(slot.account).address;
        add(hasher.hash_one((address, slot.slot)), slot.written);
    }
    marks
}

/// Whether the lanes may have met: whether a place that one of them has changed is known to another.
/// Two places with one hash are taken for one, which costs time and nothing else.
pub(super) fn have_met(lanes: &[Marks], crew: &Crew) -> bool {
    let parts = lanes.iter().map(Vec::len).max().unwrap_or(0);
    let met = crew.each((0..parts).collect(), |part| {
        let marks: Vec<&[u64]> = lanes
            .iter()
            .filter_map(|lane| lane.get(part).map(Vec::as_slice))
            .collect();
        have_met_in_part(&marks)
    });
    met.contains(&true)
}

fn have_met_in_part(lanes: &[&[u64]]) -> bool {
    let count = lanes.iter().map(|marks| marks.len()).sum();
    // The lane that has a place, and whether it has changed it.
    let mut known: HashMap<u64, (usize, bool), BuildHasherDefault<AsItIs>> =
        HashMap::with_capacity_and_hasher(count, BuildHasherDefault::default());
    for (lane, marks) in lanes.iter().enumerate() {
        for mark in *marks {
            let written = mark & 1 == 1;
            match known.entry(mark >> 1) {
                Entry::Vacant(entry) => {
                    entry.insert((lane, written));
                }
                Entry::Occupied(mut entry) => {
                    let (other, changed) = entry.get_mut();
                    if *other != lane && (*changed || written) {
                        return true;
                    }
                    *changed |= written;
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_meet_where_one_has_changed_what_another_knows() {
        let read = |place: u64| place << 1;
        let written = |place: u64| place << 1 | 1;
        for (lanes, met) in [
            (
                vec![vec![read(1), written(2)], vec![read(1), written(3)]],
                false,
            ),
            (vec![vec![read(1)], vec![written(1)]], true),
            (vec![vec![written(1)], vec![read(1)]], true),
            (vec![vec![read(1)], vec![read(1)], vec![written(1)]], true),
            (vec![vec![read(1), written(1)], vec![]], false),
        ] {
            let lanes: Vec<&[u64]> = lanes.iter().map(Vec::as_slice).collect();
            assert_eq!(have_met_in_part(&lanes), met, "{lanes:?}");
        }
    }
}
