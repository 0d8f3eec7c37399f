//! How the node is reached by its user: its admin address and its entry in the runtime directory.

use super::subject::Admin;
use crate::admin::registry::{Registration, RegistryEntry};
use crate::admin::{
    Access, AdminAddress, AdminSettings, ListenError, Token, TokenPlace, is_of_this_machine, listen, serve,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// An admin address that is listened on.
#[derive(Debug)]
pub(super) struct AdminListener {
    listener: TcpListener,
    at: SocketAddr,
    /// The name that was asked for, if it was one, and those that the user has added.
    hosts: Vec<String>,
}

impl AdminListener {
    /// Listens where `address` says. Where nothing was said a machine without a loopback address is no reason not to run.
    ///
    /// # Errors
    /// The address that was asked for cannot be had.
    pub(super) async fn listen(settings: &AdminSettings) -> Result<Option<Self>, ListenError> {
        let (address, mut hosts) = (&settings.address, settings.hosts.clone());
        if let AdminAddress::At(text) = address {
            hosts.extend(text.rsplit_once(':').map(|(host, _)| host.to_owned()));
        }
        match (listen(address).await, address) {
            (Ok(Some((_, at))), _) if !settings.insecure && !is_of_this_machine(at) => {
                Err(ListenError::InClear(at))
            }
            (Ok(found), _) => Ok(found.map(|(listener, at)| Self { listener, at, hosts })),
            (Err(error), AdminAddress::Loopback) => {
                tracing::warn!(%error, "no admin address");
                Ok(None)
            }
            (Err(error), AdminAddress::At(_) | AdminAddress::Off) => Err(error),
        }
    }

    pub(super) fn address(&self) -> String {
        self.at.to_string()
    }
}

/// Answers at the admin address, makes the entry, and says where it is. None of it can stop a run.
pub(super) fn be_reached(
    admin: Option<AdminListener>,
    subject: Admin,
    state: Option<PathBuf>,
    token: Option<Token>,
    said: bool,
) -> Option<Registration> {
    let (token, place) = match Token::given_or_new(token) {
        Ok(token) => token,
        Err(error) => {
            tracing::warn!(%error, "no admin address: the system gives no random numbers");
            return None;
        }
    };
    let address = admin.as_ref().map(AdminListener::address);
    let registration = enter(&subject, address.clone(), state, &token);
    let entered = if registration.is_some() { TokenPlace::Entry } else { TokenPlace::Nowhere };
    let place = place.unwrap_or(entered);
    let Some(AdminListener { listener, at, hosts }) = admin else { return registration };
    if !is_of_this_machine(at) {
        tracing::warn!(%at, "insecure: other machines reach the admin address, and what is said there, the token too, travels in clear");
    }
    let access = Access { token, place, is_open: is_of_this_machine(at) };
    match address {
        Some(address) if said => {
            crate::logging::say(&format!("live page and admin API: http://{address}/"));
        }
        Some(address) => tracing::info!(address, "live page and admin API"),
        None => {}
    }
    let refusals = Arc::clone(&subject.scraper.refusals);
    let (runtime, subject) = (subject.runtime.clone(), Arc::new(subject));
    runtime.spawn(async move { serve(listener, hosts, access, subject, refusals).await });
    registration
}

fn enter(
    subject: &Admin,
    admin: Option<String>,
    state: Option<PathBuf>,
    token: &Token,
) -> Option<Registration> {
    let entry = subject.watch.with_outline(|outline| RegistryEntry {
        pid: std::process::id(),
        pipeline: outline.pipeline.clone(),
        node: outline.nodes[usize::from(outline.me.0)].clone(),
        admin,
        token: token.text().to_owned(),
        started_ms: outline.started_ms,
        last: None,
        state,
    });
    let entered = Registration::new(entry).inspect_err(|error| {
        tracing::warn!(
            %error,
            "this run is not in the runtime directory: worker why, status and top need --admin HOST:PORT to find it, and pause, resume \
             and tap also the token, which --admin-token-file or WORKER_ADMIN_TOKEN must set for this run and for them"
        );
    });
    entered.ok()
}
