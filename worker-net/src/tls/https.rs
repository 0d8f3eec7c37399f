//! A server that shows a certificate and asks for none: what it is told by whom is for those above to decide.

use super::files::{self, Stamp, certificates, end_of, private_key, told, wrong_key};
use super::{HttpsFiles, Reread, Stream, TlsError, VERSIONS, nothing_resumed, provider};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// What is read of a socket at once, and what is kept of what its reader has not taken, in bytes: one of many small connections.
const BUFFER_BYTES: usize = 16 * 1024;

/// What such a server shows.
pub struct Https {
    files: HttpsFiles,
    now: Mutex<Now>,
}

/// What holds now.
struct Now {
    server: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    /// When it ends, in seconds since 1970.
    end: u64,
    stamp: Stamp,
}

impl Https {
    /// # Errors
    /// [`TlsError`]: a file is missing or wrong.
    pub fn load(files: HttpsFiles) -> Result<Self, TlsError> {
        let now = Mutex::new(read(&files)?);
        Ok(Self { files, now })
    }

    /// Shows the certificate to who has connected. Takes as long as he does: who waits has a limit.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn accept(&self, stream: TcpStream) -> Result<Stream, String> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.now().server));
        let stream = BufReader::with_capacity(BUFFER_BYTES, stream);
        let accepted = acceptor.accept_with(stream, |server| server.set_buffer_limit(Some(BUFFER_BYTES)));
        let stream = Box::pin(accepted).await.map_err(|error| error.to_string())?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    /// The certificate that is shown now, in DER.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.now().certificate.to_vec()
    }

    /// Whose it is, by DNS names and URIs, and from when until when.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn says(&self) -> Result<files::Certificate, TlsError> {
        told(&self.files.cert, &self.now().certificate)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reread for Https {
    fn has_changed(&self) -> bool {
        stamp(&self.files) != self.now().stamp
    }

    fn reload(&self) -> Result<(), TlsError> {
        let stamp = stamp(&self.files);
        match read(&self.files) {
            Ok(new) => {
                *self.now() = new;
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
impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamp(files: &HttpsFiles) -> Stamp {
    Stamp::of([&files.cert, &files.key])
}

fn read(files: &HttpsFiles) -> Result<Now, TlsError> {
    let stamp = stamp(files);
    let (chain, key) = (certificates(&files.cert)?, private_key(&files.key)?);
    let (end, certificate) = (end_of(&files.cert, &chain)?, chain[0].clone());
    let unfit = |error: rustls::Error| wrong_key(&files.key, &files.cert, &error);
    let builder = ServerConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(VERSIONS);
    let builder = builder.map_err(unfit)?.with_no_client_auth();
    let mut server = builder.with_single_cert(chain, key).map_err(unfit)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Now { server: nothing_resumed(server), certificate, end, stamp })
}
