//! Walks over a list of components in pieces of any length. (Quill's `OpIterator`.)

use std::{marker::PhantomData, slice};

use super::{Attributes, Op, Unit};

/// A place in a list of components, possibly inside of one.
pub(super) struct Cursor<'a, U> {
    /// What is left of the component that was entered.
    entered: Option<Op>,
    ahead: slice::Iter<'a, Op>,
    unit: PhantomData<U>,
}

impl<'a, U: Unit> Cursor<'a, U> {
    pub(super) fn new(ops: &'a [Op]) -> Self {
        Self { entered: None, ahead: ops.iter(), unit: PhantomData }
    }

    /// The component, or what is left of it, that comes next.
    pub(super) fn peek(&self) -> Option<&Op> {
        self.entered.as_ref().or_else(|| self.ahead.as_slice().first())
    }

    /// The length of [`Self::peek`]: without end after the last.
    pub(super) fn length(&self) -> usize {
        self.peek().map_or(usize::MAX, Op::length::<U>)
    }

    /// Takes what comes next, at most `length` units of it; after the end, that is a plain retain.
    pub(super) fn take(&mut self, length: usize) -> Op {
        let Some(next) = self.peek() else {
            return Op::Retain { length, attributes: Attributes::NONE };
        };
        if length < next.length::<U>() {
            let (head, tail) = next.split_at::<U>(length);
            self.enter(tail);
            return head;
        }
        let whole = next.clone();
        self.skip();
        whole
    }

    /// Steps over the rest of what comes next.
    pub(super) fn skip(&mut self) {
        if self.entered.take().is_none() {
            self.ahead.next();
        }
    }

    /// Takes everything that is left.
    pub(super) fn rest(self) -> impl Iterator<Item = Op> {
        self.entered.into_iter().chain(self.ahead.cloned())
    }

    fn enter(&mut self, tail: Op) {
        if self.entered.replace(tail).is_none() {
            self.ahead.next();
        }
    }
}
