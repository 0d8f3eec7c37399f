//! What a fault does when it begins, and when it is over.

use super::NodeEnd;
use super::check::Checked;
use super::fault::Fault;
use super::net::{ACCEPTOR, DIALER};
use super::world::{Ev, World};
use worker_core::event::{Event, NodeEvent};

impl World {
    pub(super) fn begin_fault(&mut self, fault: &Fault) -> Checked {
        self.trace.note(self.now, format_args!("fault {fault:?}"));
        match *fault {
            Fault::Drop { a, b, late_us } => self.drop_between(usize::from(a), usize::from(b), late_us),
            Fault::Cut { from, to, .. } => self.cuts[usize::from(from)][usize::from(to)] += 1,
            Fault::Pause { node, .. } => self.nodes[usize::from(node)].paused = true,
            Fault::Crash { node, silent, for_us, power } => {
                let others_ended =
                    self.nodes.iter().any(|n| matches!(n.state, NodeEnd::Finished | NodeEnd::Halted(_)));
                if others_ended && for_us.is_some() && !self.plan.is_journaled() {
                    return Ok(());
                }
                self.die(usize::from(node), silent, power)?;
            }
            Fault::CrashAmidActions { node, actions, for_us, power } => {
                self.nodes[usize::from(node)].fuse = Some((actions, for_us, power));
            }
            Fault::Ghost { node, replaced_us, wakes_us, dies_us } => {
                let node = usize::from(node);
                let process = &mut self.nodes[node];
                if process.core.is_some() && !process.paused {
                    process.paused = true;
                    let life = process.life;
                    self.at(self.now + replaced_us, Ev::Replace { node, life, wakes_us, dies_us });
                }
            }
            Fault::DiskFull { node, .. } => self.disk_full(usize::from(node), true)?,
            Fault::SlowDisk { node, times, .. } => self.disks[usize::from(node)].times = times,
            Fault::SyncFails { node } => self.disks[usize::from(node)].sync_fails = true,
            Fault::CopyState { node } => self.copy_state(usize::from(node)),
            Fault::PutCopyBack { node, .. } => self.put_copy_back(usize::from(node))?,
            Fault::Drain { node } => {
                let process = &mut self.nodes[usize::from(node)];
                if process.core.is_some() && !process.paused {
                    process.draining = true;
                    self.input(usize::from(node), Event::Node(NodeEvent::Drain))?;
                }
            }
            Fault::SlowSinks { stage, times, .. } => self.slow[stage] = times,
        }
        if let Some(for_us) = fault.lasts() {
            self.at(self.now + for_us, Ev::EndOf(fault.clone()));
        }
        Ok(())
    }

    fn drop_between(&mut self, a: usize, b: usize, late_us: u64) {
        let (now, rng) = (self.now, &mut self.rng);
        let mut broken = Vec::new();
        for (at, conn) in self.conns.iter_mut().enumerate() {
            let ends = (conn.ends[DIALER].node, conn.ends[ACCEPTOR].node);
            let alive = conn.ends.iter().all(|end| end.open);
            if alive && (ends == (a, b) || ends == (b, a)) && rng.chance(70) {
                conn.break_down(now, late_us, rng);
                broken.push(at);
            }
        }
        for conn in broken {
            self.expect_arrival(conn, DIALER);
            self.expect_arrival(conn, ACCEPTOR);
        }
    }

    pub(super) fn end_fault(&mut self, fault: &Fault) -> Checked {
        self.trace.note(self.now, format_args!("end of fault {fault:?}"));
        match *fault {
            Fault::Drop { .. }
            | Fault::CrashAmidActions { .. }
            | Fault::Ghost { .. }
            | Fault::SyncFails { .. }
            | Fault::CopyState { .. }
            | Fault::Drain { .. } => Ok(()),
            Fault::DiskFull { node, .. } => self.disk_full(usize::from(node), false),
            Fault::SlowDisk { node, .. } => {
                self.disks[usize::from(node)].times = 1;
                Ok(())
            }
            Fault::Cut { from, to, .. } => {
                self.cuts[usize::from(from)][usize::from(to)] -= 1;
                self.deliver_all()
            }
            Fault::Pause { node, .. } => self.resume(usize::from(node)),
            Fault::Crash { node, .. } | Fault::PutCopyBack { node, .. } => {
                let process = &self.nodes[usize::from(node)];
                if process.state == NodeEnd::Down && !process.comes_back {
                    self.start(usize::from(node))?;
                }
                Ok(())
            }
            Fault::SlowSinks { stage, .. } => {
                self.slow[stage] = 1;
                Ok(())
            }
        }
    }
}
