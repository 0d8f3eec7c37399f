//! How the node is reached by its user: its admin address and its entry in the runtime directory.

use super::identity;
use super::subject::Admin;
use crate::admin::registry::{Registration, RegistryEntry};
use crate::admin::{
    Access, AdminAddress, AdminSettings, ListenError, Place, Token, TokenPlace, is_of_this_machine, listen,
    serve,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use worker_net::Https;

/// An admin address that is listened on.
#[derive(Debug)]
pub(super) struct AdminListener {
    listener: TcpListener,
    at: SocketAddr,
    https: Option<Arc<Https>>,
    /// The name that was asked for, if it was one, and those that the user has added, or somebody vouches for.
    hosts: Vec<String>,
}

impl AdminListener {
    /// Listens where `address` says. Where nothing was said a machine without a loopback address is no reason not to run.
    ///
    /// # Errors
    /// The address that was asked for cannot be had.
    pub(super) async fn listen(settings: &AdminSettings) -> Result<Option<Self>, ListenError> {
        let (address, mut hosts) = (&settings.address, settings.hosts.clone());
        if let AdminAddress::At(place) = address {
            hosts.push(place.host().to_owned());
        }
        let https = settings.https.clone();
        let vouched = https.as_ref().and_then(|https| https.says().ok());
        hosts.extend(vouched.into_iter().flat_map(|certificate| certificate.names));
        match (listen(address).await, address) {
            (Ok(Some((_, at))), _) if https.is_none() && !settings.insecure && !is_of_this_machine(at) => {
                Err(ListenError::InClear(at))
            }
            (Ok(found), _) => Ok(found.map(|(listener, at)| Self { listener, at, https, hosts })),
            (Err(error), AdminAddress::Loopback) => {
                tracing::warn!(%error, "no admin address");
                Ok(None)
            }
            (Err(error), AdminAddress::At(_) | AdminAddress::Off) => Err(error),
        }
    }

    pub(super) fn address(&self) -> String {
        self.place().to_string()
    }

    fn place(&self) -> Place {
        Place { at: self.at.to_string(), tls: self.https.is_some() }
    }
}

/// Answers at the admin address, makes the entry, and says where it is. None of it can stop a run.
pub(super) fn be_reached(
    admin: Option<AdminListener>,
    subject: Admin,
    state: Option<PathBuf>,
    token: Option<Token>,
    said: bool,
) -> Option<Arc<Registration>> {
    let (token, place) = match Token::given_or_new(token) {
        Ok(token) => token,
        Err(error) => {
            tracing::warn!(%error, "no admin address: the system gives no random numbers");
            return None;
        }
    };
    let registration = enter(&subject, admin.as_ref(), state, &token).map(Arc::new);
    let entered = if registration.is_some() { TokenPlace::Entry } else { TokenPlace::Nowhere };
    let place = place.unwrap_or(entered);
    let Some(admin) = admin else { return registration };
    let page = admin.place().page();
    let AdminListener { listener, at, https, hosts } = admin;
    match &https {
        Some(https) => watch(https, registration.as_ref()),
        None if is_of_this_machine(at) => {}
        None => {
            tracing::warn!(%at, "insecure: other machines reach the admin address, and what is said there, the token too, travels in clear");
        }
    }
    let access = Access { token, place, is_open: is_of_this_machine(at) };
    if said {
        crate::logging::say(&format!("live page and admin API: {page}"));
    } else {
        tracing::info!(address = page, "live page and admin API");
    }
    let refusals = Arc::clone(&subject.scraper.refusals);
    let (runtime, subject) = (subject.runtime.clone(), Arc::new(subject));
    runtime.spawn(async move { serve(listener, https, hosts, access, subject, refusals).await });
    registration
}

/// Reads the certificate again when it changes, and says in the entry which it is then.
fn watch(https: &Arc<Https>, registration: Option<&Arc<Registration>>) {
    let entry = registration.map(Arc::downgrade).unwrap_or_default();
    let news = move |https: &Https| {
        if let Some(entry) = entry.upgrade() {
            entry.shows(&https.certificate());
        }
    };
    let watched = identity::watch("the certificate of the admin address", Some(Arc::clone(https)), news);
    if let Err(error) = watched {
        tracing::warn!(%error, "the certificate of the admin address is not read again when it changes");
    }
}

fn enter(
    subject: &Admin,
    admin: Option<&AdminListener>,
    state: Option<PathBuf>,
    token: &Token,
) -> Option<Registration> {
    let entry = subject.watch.with_outline(|outline| RegistryEntry {
        pid: std::process::id(),
        pipeline: outline.pipeline.clone(),
        node: outline.nodes[usize::from(outline.me.0)].clone(),
        admin: admin.map(AdminListener::address),
        certificate: admin.and_then(|admin| Some(STANDARD.encode(admin.https.as_ref()?.certificate()))),
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
