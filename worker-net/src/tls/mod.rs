//! Mutual TLS 1.3: a node is who its certificate says, and nobody else is let in.
//!
//! [`Tls`] holds what a node shows and what it believes, as its files say; they are read again by [`Reread::reload`], and sessions that
//! are open are held against what was read then ([`Guard`]). Nothing is resumed, so that nobody comes in by an older look at his
//! certificate. [`Https`] and [`Trust`] are the two ends where only the server shows one: a worker's admin address, and who asks there.

mod der;
mod files;
mod guard;
mod https;
mod stream;
mod trust;
mod verify;

pub use files::{Certificate, HttpsFiles, TlsError, TlsFiles, read_certificates, revoked_serials};
pub use guard::Guard;
pub use https::Https;
pub use stream::Stream;
pub use trust::Trust;

use crate::Settings;
use files::{Read, Stamp};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use verify::{Role, Verifier};

/// How much is read of a socket at once, in bytes: rustls by itself reads 4 KiB.
const READ_BYTES: usize = 64 * 1024;

/// What is spoken: nothing older.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What a node of a cluster shows and whom it believes.
pub struct Tls {
    files: TlsFiles,
    me: String,
    nodes: Arc<[String]>,
    now: Mutex<Now>,
    /// How often the files were read.
    readings: AtomicU64,
}

/// What holds now.
#[derive(Clone)]
struct Now {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    /// When this node's own certificate ends, in seconds since 1970.
    end: u64,
    stamp: Stamp,
}

/// A certificate whose files are read again while it is used.
pub trait Reread: Send + Sync + 'static {
    /// Whether a file is another one than when it was read last.
    fn has_changed(&self) -> bool;

    /// Reads the files again.
    ///
    /// # Errors
    /// A file is missing or wrong: what held before still does, and [`Reread::has_changed`] says no until they change again.
    fn reload(&self) -> Result<(), TlsError>;

    /// When the certificate ends, in seconds since 1970.
    fn expires(&self) -> u64;
}

impl Tls {
    /// Of node `me`, in a cluster of the nodes that are named.
    ///
    /// # Errors
    /// [`TlsError`]: a file is missing or wrong, or the certificate is not one that the others would believe.
    pub fn load(files: TlsFiles, me: &str, nodes: &[String]) -> Result<Self, TlsError> {
        let nodes: Arc<[String]> = nodes.into();
        let now = read(&files, me, &nodes)?;
        Ok(Self { files, me: me.to_owned(), nodes, now: Mutex::new(now), readings: AtomicU64::new(0) })
    }

    /// Shows this node's certificate to who was dialled, and takes its own: it must be that of node `peer`.
    ///
    /// # Errors
    /// Why not, for people; [`Settings::handshake_max`] is over, or one does not believe the other.
    pub async fn dialled(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: &str,
        settings: &Settings,
    ) -> Result<(Stream, Guard), String> {
        let connector = TlsConnector::from(Arc::clone(&self.now().client));
        // The name is not a host's, so it is not asked for: what counts is the certificate's.
        let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
        let stream = BufReader::with_capacity(READ_BYTES, stream);
        let limit = settings.handshake_max;
        let stream = timeout(limit, Box::pin(connector.connect(nobody, stream)))
            .await
            .map_err(|_| {
                format!(
                    "no TLS handshake within {limit:?}: does that node have TLS, and is its process well?"
                )
            })?
            .map_err(|error| failed(&error))?;
        let chain = chain(stream.get_ref().1.peer_certificates());
        let guard = self.guard(chain, Role::Server)?;
        if guard.node() != peer {
            return Err(format!("dialled node {peer}, but the certificate is of node {}", guard.node()));
        }
        Ok((Stream::Tls(Box::new(stream.into())), guard))
    }

    /// Takes the certificate of who has dialled, and shows this node's own.
    ///
    /// # Errors
    /// Why not, for people: one does not believe the other.
    pub(crate) async fn accepted(self: &Arc<Self>, stream: TcpStream) -> Result<(Stream, Guard), String> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.now().server));
        let stream = Box::pin(acceptor.accept(BufReader::with_capacity(READ_BYTES, stream)));
        let stream = stream.await.map_err(|error| failed(&error))?;
        let chain = chain(stream.get_ref().1.peer_certificates());
        let guard = self.guard(chain, Role::Client)?;
        Ok((Stream::Tls(Box::new(stream.into())), guard))
    }

    fn guard(self: &Arc<Self>, chain: Vec<CertificateDer<'static>>, role: Role) -> Result<Guard, String> {
        let node = self.now().verifier.check_now(&chain, role)?;
        Ok(Guard::new(Arc::clone(self), chain, role, node))
    }

    fn reading(&self) -> u64 {
        self.readings.load(Ordering::Acquire)
    }

    fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.now().verifier)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sessions that are open are held against what was read within seconds.
impl Reread for Tls {
    fn has_changed(&self) -> bool {
        Stamp::of(self.files.paths()) != self.now().stamp
    }

    fn reload(&self) -> Result<(), TlsError> {
        let stamp = Stamp::of(self.files.paths());
        match read(&self.files, &self.me, &self.nodes) {
            Ok(new) => {
                *self.now() = new;
                self.readings.fetch_add(1, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.now().stamp = stamp;
                Err(error)
            }
        }
    }

    fn expires(&self) -> u64 {
        self.now().end
    }
}

/// Nothing of a key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn chain(certificates: Option<&[CertificateDer<'static>]>) -> Vec<CertificateDer<'static>> {
    certificates.unwrap_or_default().to_vec()
}

/// What went wrong in a handshake. What is said of a certificate stands in the cause.
fn failed(error: &std::io::Error) -> String {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match alert {
        Some(rustls::Error::AlertReceived(alert)) => format!(
            "it does not take this node's certificate ({alert:?}): are both of one CA, and are the clocks right? Its log says more"
        ),
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) => {
            format!("its certificate does not count here: {other}")
        }
        Some(rustls::Error::NoCertificatesPresented) => "it shows no certificate".to_owned(),
        Some(rustls::Error::InvalidMessage(_)) => {
            "what it says is no TLS: does that node have TLS?".to_owned()
        }
        Some(other) => format!("the TLS handshake failed: {other}"),
        None => format!("the TLS handshake failed: {error}"),
    }
}

fn read(files: &TlsFiles, me: &str, nodes: &Arc<[String]>) -> Result<Now, TlsError> {
    let stamp = Stamp::of(files.paths());
    let Read { chain, key, roots, crls } = Read::all(files)?;
    let provider = Arc::new(provider());
    let end = files::end_of(&files.cert, &chain)?;
    let verifier = Verifier { roots, crls, nodes: Arc::clone(nodes), provider: Arc::clone(&provider) };
    let verifier = Arc::new(verifier);
    for role in [Role::Client, Role::Server] {
        let named = verifier.check_now(&chain, role).map_err(|why| files.wrong_cert(why))?;
        if named != me {
            return Err(files.wrong_cert(format!("it is of node {named}, and this is node {me}")));
        }
    }
    let unfit = |error: rustls::Error| files::wrong_key(&files.key, &files.cert, &error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(VERSIONS);
    let clients = Arc::clone(&verifier) as Arc<dyn rustls::server::danger::ClientCertVerifier>;
    let builder = builder.map_err(unfit)?.with_client_cert_verifier(clients);
    let server = builder.with_single_cert(chain.clone(), key.clone_key()).map_err(unfit)?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(VERSIONS);
    let servers = Arc::clone(&verifier) as Arc<dyn rustls::client::danger::ServerCertVerifier>;
    let builder = builder.map_err(unfit)?.dangerous().with_custom_certificate_verifier(servers);
    let mut client = builder.with_client_auth_cert(chain, key).map_err(unfit)?;
    client.resumption = rustls::client::Resumption::disabled();
    client.enable_sni = false;
    Ok(Now { server: nothing_resumed(server), client: Arc::new(client), verifier, end, stamp })
}

fn nothing_resumed(mut server: ServerConfig) -> Arc<ServerConfig> {
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Arc::new(server)
}

/// With the cipher that is the fastest where the processor has AES first: 128 bits are enough.
fn provider() -> rustls::crypto::CryptoProvider {
    use rustls::CipherSuite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let suite = suite.suite();
        if suite == TLS13_AES_128_GCM_SHA256 {
            0
        } else if suite == TLS13_AES_256_GCM_SHA384 {
            1
        } else {
            2
        }
    });
    provider
}
