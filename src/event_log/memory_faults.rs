//! What goes wrong with a log in memory, as tests decide.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::ready};

use super::{
    Head, StreamName, Unavailable, UnavailableKind,
    memory::{Memory, Stream},
    port::{Answer, NewRows, Refusal},
};

/// What a log is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To append to a stream.
    Append,
    /// What is in it.
    Read,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done, and answered.
    Answered,
    /// It fails, and nothing has happened.
    Fails,
    /// It fails, but has happened: the answer was lost.
    Unsaid,
    /// An append fails, and happens afterwards, before the next one to its stream at the latest. A read comes after that.
    Late,
}

type Decide = Box<dyn FnMut(&StreamName, Asked) -> Fate + Send>;

#[derive(Default)]
pub(super) struct Faults {
    decide: Option<Mutex<Decide>>,
    /// Appends that are still to happen.
    late: Mutex<Vec<NewRows>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    pub(super) fn decided_by(decide: impl FnMut(&StreamName, Asked) -> Fate + Send + 'static) -> Self {
        Self { decide: Some(Mutex::new(Box::new(decide))), late: Mutex::default() }
    }

    fn fate(&self, stream: &StreamName, asked: Asked) -> Fate {
        let Some(decide) = &self.decide else { return Fate::Answered };
        decide.lock().unwrap_or_else(PoisonError::into_inner)(stream, asked)
    }

    fn late_now(&self) -> MutexGuard<'_, Vec<NewRows>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Looks at a stream; at nothing, if it is not there.
    pub(super) fn look<T>(&self, stream: &StreamName, look: impl FnOnce(&Stream) -> T) -> Answer<'static, T>
    where
        T: Default + Send + 'static,
    {
        match self.faults.fate(stream, Asked::Read) {
            Fate::Answered => (),
            Fate::Fails | Fate::Unsaid => return ready(Err(unreachable())).boxed(),
            Fate::Late => self.catch_up(stream),
        }
        ready(Ok(self.streams_now().get(stream).map(look).unwrap_or_default())).boxed()
    }

    pub(super) fn append_as_fated(&self, new: NewRows) -> Result<Head, Refusal> {
        let fate = self.faults.fate(&new.stream, Asked::Append);
        if fate == Fate::Late {
            self.faults.late_now().push(new);
            return Err(unreachable().into());
        }
        self.catch_up(&new.stream);
        match fate {
            Fate::Fails => Err(unreachable().into()),
            Fate::Unsaid => self.append_now(new).and(Err(unreachable().into())),
            Fate::Answered | Fate::Late => self.append_now(new),
        }
    }

    /// What was to be appended later happens now, where it still can.
    fn catch_up(&self, stream: &StreamName) {
        let late: Vec<_> = self.faults.late_now().extract_if(.., |new| new.stream == *stream).collect();
        for new in late {
            let _too_late = self.append_now(new);
        }
    }
}

fn unreachable() -> Unavailable {
    Unavailable::new(UnavailableKind::Unreachable, "the test has it so")
}
