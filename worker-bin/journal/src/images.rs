//! What all commits of a journal's tasks add up to: an [`Image`] for each, and what of the segments they need together.

use super::check::rule;
use super::image::{Held, Image, OutputImage};
use super::live::{Live, Use};
use super::record::{CommitHead, Location};
use std::collections::BTreeMap;
use worker_proto::{Epoch, LinkId, Seq};

/// A task of a journal: its place among those that the journal was made for, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(pub u32);

impl Member {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// The `index`-th of a list.
    pub(super) fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// The sums of all tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    tasks: Vec<Image>,
    /// Whose outputs a link's are.
    senders: BTreeMap<LinkId, Member>,
    pub(super) live: Live,
}

impl Images {
    pub(super) fn new(tasks: Vec<Image>) -> Self {
        let mut images = Self { tasks, ..Self::default() };
        images.index();
        images
    }

    /// The tasks, in order.
    pub(super) fn tasks(&self) -> &[Image] {
        &self.tasks
    }

    pub(super) fn task(&self, member: Member) -> Option<&Image> {
        self.tasks.get(member.index())
    }

    pub(super) fn task_mut(&mut self, member: Member) -> Option<&mut Image> {
        self.tasks.get_mut(member.index())
    }

    /// All tasks of a journal begin a life together.
    pub(super) fn epoch(&self) -> Epoch {
        self.tasks.iter().map(|image| image.epoch).max().unwrap_or_default()
    }

    /// A life begins.
    pub(super) fn begin_life(&mut self, epoch: Epoch) {
        self.tasks.iter_mut().for_each(|image| image.epoch = image.epoch.max(epoch));
    }

    /// Adds links that a task may send on.
    pub(super) fn add_outputs(&mut self, member: Member, outputs: &[LinkId]) {
        let Some(image) = self.tasks.get_mut(member.index()) else { return };
        for link in outputs {
            image.outputs.entry(*link).or_insert_with(OutputImage::fresh);
        }
        self.index();
    }

    fn index(&mut self) {
        let senders = self
            .tasks
            .iter()
            .enumerate()
            .flat_map(|(index, image)| image.outputs.keys().map(move |link| (*link, Member::at(index))));
        self.senders = senders.collect();
        self.live = self.counted_live();
    }

    /// Adds a commit of a task; its inline batches lie in `segment` from `inline` on.
    pub(super) fn commit(&mut self, member: Member, head: &CommitHead, segment: u64, inline: u64) {
        let Some(image) = self.tasks.get_mut(member.index()) else { return };
        image.commit(head, segment, inline, &mut self.live);
        for output in &head.outputs {
            self.senders.entry(output.link).or_insert(member);
        }
    }

    /// A live output has moved.
    pub(super) fn moved(&mut self, link: LinkId, first: Seq, to: Location) {
        let Some(held) = self.held_at(link, first) else { return };
        let from = std::mem::replace(&mut held.at, to);
        self.live.remove(&from, Use::Output);
        self.live.add(&to, Use::Output);
    }

    /// Tuples of a link are not needed any more.
    pub(super) fn acknowledged(&mut self, link: LinkId, through: Seq) {
        let Some(member) = self.senders.get(&link) else { return };
        if let Some(image) = self.tasks.get_mut(member.index()) {
            image.acknowledged(link, through, &mut self.live);
        }
    }

    /// What is held of a link.
    pub(super) fn output(&self, link: LinkId) -> Option<&OutputImage> {
        self.task(*self.senders.get(&link)?)?.outputs.get(&link)
    }

    /// The held tuples of a link that begin with `first`.
    pub(super) fn held_at(&mut self, link: LinkId, first: Seq) -> Option<&mut Held> {
        let member = *self.senders.get(&link)?;
        self.task_mut(member)?.outputs.get_mut(&link)?.held_at(first)
    }

    /// All held outputs that lie in a segment.
    pub(super) fn held_in(&self, segment: u64) -> impl Iterator<Item = (LinkId, Seq)> {
        let outputs = self.tasks.iter().flat_map(|image| &image.outputs);
        outputs.flat_map(move |(link, output)| {
            output.held.iter().filter(move |h| h.at.segment == segment).map(|h| (*link, h.first))
        })
    }

    /// Everything that may be read, to be moved.
    pub(super) fn each_location(&mut self, each: &mut dyn FnMut(&mut Location)) {
        self.tasks.iter_mut().for_each(|image| image.each_location(each));
    }

    /// What lies in `moved` by where it was is elsewhere now.
    pub(super) fn relocate(&mut self, moved: &BTreeMap<(u64, u64), Location>) {
        self.tasks.iter_mut().for_each(|image| image.relocate(moved, &mut self.live));
    }

    /// Where everything is that may be read.
    pub(super) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.tasks.iter().flat_map(Image::locations)
    }

    /// Counts anew what is live.
    pub(super) fn count_live(&mut self) {
        self.live = self.counted_live();
    }

    /// What may be read, but for what is staged.
    pub(super) fn counted_live(&self) -> Live {
        let mut live = Live::default();
        self.tasks.iter().for_each(|image| image.add_live(&mut live));
        live
    }

    /// What is held of each link is what is not acknowledged.
    pub(super) fn check(&self) -> Result<(), String> {
        for (index, image) in self.tasks.iter().enumerate() {
            for (link, output) in &image.outputs {
                output.check().map_err(|wrong| format!("outputs of link {link}: {wrong}"))?;
                let sender = self.senders.get(link).copied();
                rule(sender == Some(Member::at(index)), || {
                    format!("link {link} is of {}, and of {sender:?}", image.task)
                })?;
            }
        }
        Ok(())
    }
}
