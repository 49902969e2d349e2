//! A pool that runs one closure on all its threads at once, many thousand times a second.
//!
//! A step of a model is some 150 short parallel sections, microseconds apart, so idle workers spin for
//! a moment; then they sleep, because they share the machine. A section never waits for a
//! sleeper: whoever is awake takes parts from a common iterator, and a worker that comes late
//! finds nothing left. Which worker computes which part has no influence on any result.

#![allow(
    unsafe_code,
    reason = "a borrowed closure is shown to threads that outlive it; std's scoped threads would \
              be spawned anew for each section"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Rounds of `pause` before an idle worker sleeps: about 0.1 ms.
const SPINS: u32 = 2000;

/// Threads that stand by, and the caller's own as worker 0.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Counts sections; changes when there is a new one, or at the end.
    epoch: AtomicU64,
    slot: Mutex<Slot>,
    wake: Condvar,
    /// Workers inside the current closure.
    running: AtomicUsize,
    panicked: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    /// The open section, while workers may still enter it.
    section: Option<Section>,
    sleepers: usize,
    stop: bool,
}

#[derive(Clone, Copy)]
struct Section(*const (dyn Fn(usize) + Sync));

// SAFETY: the pointee is Sync, so it may be called from any thread; that it is alive while it is
// called is argued in `Pool::run`.
unsafe impl Send for Section {}

impl std::fmt::Debug for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Section")
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller's included.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let mut pool = Self { shared: Arc::default(), workers: Vec::new() };
        for index in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("vouch-exact-{index}"))
                .spawn(move || shared.work(index))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(worker, part)` once for each part, on whichever workers are awake, and returns
    /// when all calls have.
    pub(crate) fn for_each<P: Send>(
        &self,
        parts: impl ExactSizeIterator<Item = P> + Send,
        f: impl Fn(usize, P) + Sync,
    ) {
        if self.workers.is_empty() || parts.len() < 2 {
            return parts.for_each(|part| f(0, part));
        }
        let parts = Mutex::new(parts);
        self.run(&|worker| {
            loop {
                let part = lock(&parts).next();
                let Some(part) = part else { return };
                f(worker, part);
            }
        });
    }

    /// Calls `section` on the caller's thread and on every worker that is awake in time.
    fn run(&self, section: &(dyn Fn(usize) + Sync)) {
        /// Closes the section and waits for those inside, also when the caller's call panics.
        struct Close<'a>(&'a Shared);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                lock(&self.0.slot).section = None;
                let mut spins = 0;
                while self.0.running.load(Ordering::Acquire) > 0 {
                    spin_or(&mut spins, std::thread::yield_now);
                }
            }
        }

        // SAFETY: only the lifetime changes. Workers enter while `slot.section` is set and are counted
        // in `running` before the slot's lock is released; `close` clears the slot, then waits
        // for that count to be 0, and is dropped before this function ends in any way. So no
        // worker can hold the reference when the borrow ends.
        let erased = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(section)
        };
        let close = Close(&self.shared);
        {
            let mut slot = lock(&self.shared.slot);
            slot.section = Some(Section(erased));
            self.shared.epoch.fetch_add(1, Ordering::Release);
            if slot.sleepers > 0 {
                self.shared.wake.notify_all();
            }
        }
        section(0);
        drop(close);
        assert!(
            !self.shared.panicked.swap(false, Ordering::Relaxed),
            "a worker panicked; its message is above"
        );
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            lock(&self.shared.slot).stop = true;
            self.shared.epoch.fetch_add(1, Ordering::Release);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker of the exact engine panicked");
            }
        }
    }
}

impl Shared {
    fn work(&self, index: usize) {
        let mut seen = 0;
        while let Some(section) = self.next(&mut seen) {
            let Some(section) = section else { continue };
            // SAFETY: `next` counted this worker in `running`, so the closure is alive (`Pool::run`).
            let call = || unsafe { (*section.0)(index) };
            if catch_unwind(AssertUnwindSafe(call)).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.running.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a section newer than `seen` and enters it, if it is still open. `None` at the end.
    fn next(&self, seen: &mut u64) -> Option<Option<Section>> {
        let mut spins = 0;
        while self.epoch.load(Ordering::Acquire) == *seen && spins < SPINS {
            spin_or(&mut spins, || ());
        }
        let mut slot = lock(&self.slot);
        while self.epoch.load(Ordering::Acquire) == *seen {
            slot.sleepers += 1;
            slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
            slot.sleepers -= 1;
        }
        if slot.stop {
            return None;
        }
        *seen = self.epoch.load(Ordering::Acquire);
        if slot.section.is_some() {
            self.running.fetch_add(1, Ordering::Relaxed);
        }
        Some(slot.section)
    }
}

/// Nothing is left half-done under these locks, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spin_or(spins: &mut u32, otherwise: impl Fn()) {
    if *spins < SPINS {
        *spins += 1;
        std::hint::spin_loop();
    } else {
        otherwise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads).unwrap();
            for round in 0..500usize {
                let mut data = vec![0u32; round % 40];
                pool.for_each(data.iter_mut(), |_, part| *part += 1);
                assert!(data.iter().all(|&count| count == 1));
            }
        }
    }

    #[test]
    fn sleeping_workers_come_back() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
            pool.for_each(0..50, |worker, _| {
                std::thread::sleep(std::time::Duration::from_micros(200));
                seen[worker].fetch_add(1, Ordering::Relaxed);
            });
            assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) > 0), "{seen:?}");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(0..100, |_, part| assert_ne!(part, 50, "on purpose"));
        }));
        assert!(attempt.is_err());
        let sum = AtomicUsize::new(0);
        pool.for_each(0..100usize, |_, part| {
            sum.fetch_add(part, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }
}
