//! A batch, decided by the same code as the embedded store's, over the rows that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use vouch_core::channel::Reservation;
use vouch_core::planted::{Bug, planted};

use super::Owner;
use super::load::{CallKey, Loaded};
use super::task::{Reserving, Task};
use crate::batch::{Batch, Commit, Operation};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::pending::answer_to;
use crate::state::{Reserved, State};

/// A batch that is decided but not written.
pub(super) struct Decided {
    pub(super) batch: Batch,
    pub(super) state: State,
    /// Calls whose hold has changed: lease and amount now, or none.
    pub(super) holds: BTreeMap<CallKey, Option<(i64, u128)>>,
    held: BTreeMap<CallKey, (i64, Reservation)>,
    size: u64,
}

/// Applies all tasks in their order.
pub(super) fn decide(
    tasks: Vec<Task>,
    loaded: Loaded,
    owner: &Arc<Owner>,
    config: &Config,
) -> (Decided, BTreeMap<alloy_primitives::B256, crate::api::ChannelView>) {
    let Loaded { state, before, held, size } = loaded;
    let batch = Batch::new(config.now_ms(), 0);
    let mut decided = Decided { batch, state, holds: BTreeMap::new(), held, size };
    for task in tasks {
        decided.apply(task, owner, config);
    }
    (decided, before)
}

impl Decided {
    fn apply(&mut self, task: Task, owner: &Arc<Owner>, config: &Config) {
        match task {
            Task::Do(Operation::Commit(commit)) => self.commit(*commit, config),
            Task::Do(operation) => {
                self.batch.apply(operation, &mut self.state, config, self.size);
            }
            Task::Reserve { call, reply } => {
                let oldest_ms = config.oldest_answer_ms();
                let reserving =
                    self.state.reserve(&call, oldest_ms).map(|reserved| match reserved {
                        Reserved::Done(entry) => Reserving::Done(entry),
                        Reserved::New { reservation, payer, asset } => {
                            let key = (call.channel, call.request);
                            self.holds.insert(key, Some((owner.epoch, reservation.amount())));
                            Reserving::New(Hold {
                                channel: call.channel,
                                request: call.request,
                                payer,
                                asset,
                                reservation: Some(reservation),
                                epoch: owner.epoch,
                                owner: Arc::clone(owner) as _,
                            })
                        }
                    });
                self.batch.later(reply, reserving);
            }
            Task::Extend { channel, request, epoch, amount, reply } => {
                let extended = self.extend((channel, request), epoch, amount);
                self.batch.later(reply, extended);
            }
            Task::Release { channel, request, epoch } => {
                if let Some(reservation) = self.take((channel, request), epoch) {
                    self.state.release(&channel, &request, reservation);
                    self.holds.insert((channel, request), None);
                }
            }
        }
    }

    /// Takes a call out of those in flight, if it is there under this lease: the fence.
    fn take(&mut self, key: CallKey, epoch: i64) -> Option<Reservation> {
        let ours = self.held.get(&key).is_some_and(|(holder, _)| *holder == epoch);
        if ours { self.held.remove(&key).map(|(_, reservation)| reservation) } else { None }
    }

    fn extend(&mut self, key: CallKey, epoch: i64, amount: u128) -> Result<Reservation> {
        let mut reservation = self.take(key, epoch).ok_or(Error::LeaseLost)?;
        let extended = self.state.extend(&key.0, &mut reservation, amount);
        match extended {
            Ok(()) => {
                self.holds.insert(key, Some((epoch, reservation.amount())));
                Ok(reservation)
            }
            Err(error) => {
                self.held.insert(key, (epoch, reservation));
                Err(error)
            }
        }
    }

    /// What the gateway remembers of a hold counts for nothing: the row does.
    fn commit(&mut self, mut commit: Commit, config: &Config) {
        if let Some(hold) = &mut commit.hold {
            let key = (hold.channel, hold.request);
            let remembered = hold.reservation.take();
            hold.reservation = self.take(key, hold.epoch);
            if planted(Bug::StaleEpoch) && hold.reservation.is_none() {
                let amount = remembered.map_or(0, |reservation| reservation.amount());
                let account = self.state.account_mut(&key.0);
                hold.reservation =
                    account.ok().and_then(|account| account.channel.set_aside_again(amount).ok());
            } else if hold.reservation.is_some() {
                self.holds.insert(key, None);
            }
            if hold.reservation.is_none() {
                return answer_to(commit.reply, Err(Error::LeaseLost));
            }
        }
        let operation = Operation::Commit(Box::new(commit));
        self.batch.apply(operation, &mut self.state, config, self.size);
    }
}
