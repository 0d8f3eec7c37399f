//! A run's parts, put together: who does the work, and who looks at it and shows it.

use super::admin_listener::{AdminListener, be_reached};
use super::cell::{End, Tell as _};
use super::driver::Driver;
use super::durable::Durable;
use super::ended::{RunError, system};
use super::identity;
use super::measure::{InputRead, TaskMeasure};
use super::observe::{Watch, outline};
use super::open::Opened;
use super::options::Options;
use super::progress::{Mode, Progress};
use super::report::final_report;
use super::scrape::Scraper;
use super::service::Service;
use super::subject::{Admin, Ends};
use crate::admin::registry::Registration;
use crate::child::Launcher;
use crate::pipeline::plan::Plan;
use crate::report::Report;
use std::sync::Arc;
use tokio::sync::oneshot;
use worker_core::config::TaskId;
use worker_core::event::{Event, NodeEvent};
use worker_net::{Listener, Settings};

/// One process's node and its surroundings.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) driver: Driver,
    pub(super) watch: Arc<Watch>,
    pub(super) scraper: Arc<Scraper>,
    pub(super) progress: Arc<Progress>,
    pub(super) service: Service,
    ends: Arc<Ends>,
    registration: Option<Arc<Registration>>,
}

impl Engine {
    /// Builds everything, starts the node and lets it act.
    pub(super) async fn start(
        plan: Plan,
        mut opened: Opened,
        durable: Option<Durable>,
        launcher: Launcher,
        options: Options,
    ) -> Result<(Self, oneshot::Receiver<End>), RunError> {
        let (listener, admin) = match reachable(&plan, &options).await {
            Ok(listening) => listening,
            Err(error) => {
                opened.take_back(durable);
                return Err(error);
            }
        };
        let state = durable.as_ref().map(|durable| durable.dir().to_owned());
        let measures: Vec<Arc<TaskMeasure>> = plan.graph.tasks.iter().map(|_| Arc::default()).collect();
        let input = InputRead::new(opened.done_bytes, opened.totals);
        opened.made.keep();
        let (driver, ended) = Driver::start(&plan, opened.tasks, durable, &launcher, &options, &measures)?;
        if let Some(listener) = listener {
            driver.connections.serve(listener);
            identity::watch("this node's certificate", options.tls.clone(), |_| {})
                .map_err(|error| system("listen for signals", error))?;
        }
        let address = admin.as_ref().map(AdminListener::address);
        let outline = outline(
            &plan,
            &options.name,
            options.delivery,
            (options.stall_after, launcher.containment().word()),
            address,
        );
        let (cell, connections) = (Arc::clone(&driver.cell), Arc::clone(&driver.connections));
        let watch = Arc::new(Watch::new(
            outline,
            cell,
            connections,
            driver.ports.sinks(),
            input.clone(),
            measures.clone(),
        ));
        let progress = Arc::new(Progress::new(&plan, options.progress));
        progress.start(&watch);
        watch.start();
        let tasks = (0_u32..).map(TaskId).zip(&plan.graph.tasks).filter(|(id, _)| driver.ports.is_here(*id));
        let tasks: Vec<_> = tasks.map(|(id, task)| (id, task.name.clone())).collect();
        let measure = |(id, name): &(TaskId, String)| (name.clone(), Arc::clone(&measures[id.0 as usize]));
        let scraper = Arc::new(Scraper {
            cell: Arc::clone(&driver.cell),
            watch: Arc::clone(&watch),
            connections: Arc::clone(&driver.connections),
            measures: tasks.iter().map(measure).collect(),
            refusals: Arc::default(),
            otel: options.otel,
        });
        scraper.export_now_and_then();
        let ends = Arc::new(Ends::default());
        let subject = Admin {
            cell: Arc::clone(&driver.cell),
            watch: Arc::clone(&watch),
            scraper: Arc::clone(&scraper),
            dead: Arc::clone(&driver.dead),
            taps: Arc::clone(&driver.taps),
            tasks,
            ends: Arc::clone(&ends),
            runtime: tokio::runtime::Handle::current(),
        };
        let registration =
            be_reached(admin, subject, state, options.admin.token, options.progress != Mode::Silent);
        let service = Service::begin(&progress, &watch);
        Ok((Self { driver, watch, scraper, progress, service, ends, registration }, ended))
    }

    pub(super) fn drain(&self) {
        self.driver.cell.tell(Event::Node(NodeEvent::Drain));
    }

    /// Takes no new input, and ends by itself when all is delivered.
    pub(super) fn finish(&self) {
        self.driver.cell.tell(Event::Node(NodeEvent::Finish));
    }

    /// What the user asks for by the admin address.
    pub(super) fn ends(&self) -> Arc<Ends> {
        Arc::clone(&self.ends)
    }

    /// The run is over, and its entry in the runtime directory says how.
    pub(super) fn leave_registry(&mut self) {
        if let (Some(registration), Some(last)) = (self.registration.take(), self.watch.latest()) {
            registration.ended(last);
        }
    }

    /// The report of a run that is over.
    pub(super) fn final_report(&self) -> Report {
        let driver = &self.driver;
        final_report(&self.watch, &driver.dead, driver.dead_letters().1, driver.left_state())
    }
}

/// Where peers and people come in.
async fn reachable(
    plan: &Plan,
    options: &Options,
) -> Result<(Option<Listener>, Option<AdminListener>), RunError> {
    let listener = listen(plan, options).await?;
    Ok((listener, AdminListener::listen(&options.admin).await?))
}

/// Listens where the cluster file says this node is; a process alone does not listen.
async fn listen(plan: &Plan, options: &Options) -> Result<Option<Listener>, RunError> {
    match options.addresses.get(usize::from(plan.me.0)) {
        Some(address) => {
            let listener = Listener::bind(address, Settings::default()).await?;
            Ok(Some(listener.with_tls(options.tls.clone())))
        }
        None => Ok(None),
    }
}
