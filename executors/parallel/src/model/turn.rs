//! `turn.rs` once more, on loom's primitives.

mod sync {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

#[path = "../turn.rs"]
mod checked;

use checked::Turn;
use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What is announced and what has been done about it. Relaxed throughout, so that only the turn
/// orders anything.
struct Work {
    turn: Turn,
    announced: [AtomicUsize; 3],
    done: [AtomicUsize; 3],
    /// Written and read by whoever is at work, as if it were not shared.
    rounds: AtomicUsize,
    runs: AtomicUsize,
}

impl Work {
    fn announce(&self, thread: usize) {
        self.announced[thread].store(1, Ordering::Relaxed);
        self.turn.run(|| {
            let rounds = self.rounds.load(Ordering::Relaxed);
            for (announced, done) in self.announced.iter().zip(&self.done) {
                if announced.load(Ordering::Relaxed) == 1 {
                    done.store(1, Ordering::Relaxed);
                }
            }
            self.runs.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            // Another thread in here would have counted too.
            self.rounds.store(rounds + 1, Ordering::Relaxed);
        });
    }
}

fn check(threads: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let work = Arc::new(Work {
            turn: Turn::default(),
            announced: Default::default(),
            done: Default::default(),
            rounds: AtomicUsize::new(0),
            runs: AtomicUsize::new(0),
        });
        let others: Vec<_> = (1..threads)
            .map(|thread| {
                let work = Arc::clone(&work);
                thread::spawn(move || work.announce(thread))
            })
            .collect();
        work.announce(0);
        for other in others {
            other.join().unwrap();
        }
        for thread in 0..threads {
            let done = work.done[thread].load(Ordering::Relaxed);
            assert_eq!(done, 1, "the work of thread {thread} was left undone");
        }
        let (rounds, runs) = (&work.rounds, &work.runs);
        assert_eq!(
            rounds.load(Ordering::Relaxed),
            runs.load(Ordering::Relaxed),
            "two threads were at work at the same time"
        );
    });
}

#[test]
fn two_threads_under_every_schedule() {
    check(2, None);
}

#[test]
fn three_threads_under_every_schedule_with_three_preemptions() {
    check(3, Some(3));
}
