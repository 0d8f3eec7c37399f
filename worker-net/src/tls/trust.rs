//! Whom one believes who asks a server and shows no certificate himself.

use super::files::{anchors, lists};
use super::verify::{Role, Verifier, unfit};
use super::{Stream, TlsError, VERSIONS, provider};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme,
};
use std::path::Path;
use std::sync::Arc;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What is read of a socket at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Whom one believes who asks by HTTPS.
#[derive(Clone, Debug)]
pub struct Trust(Arc<Verdict>);

#[derive(Debug)]
struct Verdict {
    whom: Whom,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Whom {
    /// The host that is asked, as others vouch for it.
    Host(Verifier),
    /// This node of a cluster, whatever its host is called.
    Node(Verifier, String),
    /// Who shows this certificate, however old it is.
    Exactly(CertificateDer<'static>),
}

impl Trust {
    /// In the host that is asked, where those vouch for it whose certificates are in a file.
    ///
    /// # Errors
    /// The file cannot be read, or has none.
    pub fn in_host(ca: &Path) -> Result<Self, TlsError> {
        Ok(Self::new(Whom::Host(verifier(ca, None, &[])?)))
    }

    /// In one of the nodes of a cluster, where its CA vouches for it and has not revoked that.
    ///
    /// # Errors
    /// A file cannot be read, or is wrong.
    pub fn in_node(node: &str, nodes: &[String], ca: &Path, crl: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self::new(Whom::Node(verifier(ca, crl, nodes)?, node.to_owned())))
    }

    /// In whoever has the key of this certificate, in DER.
    #[must_use]
    pub fn exactly(certificate: Vec<u8>) -> Self {
        Self::new(Whom::Exactly(certificate.into()))
    }

    fn new(whom: Whom) -> Self {
        Self(Arc::new(Verdict { whom, provider: Arc::new(provider()) }))
    }

    /// Takes the certificate of who was dialled at `host`. Takes as long as he does: who waits has a limit.
    ///
    /// # Errors
    /// Why he is not believed, for people.
    pub async fn connect(&self, stream: TcpStream, host: &str) -> Result<Stream, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| format!("{host} is neither an address nor a name that a certificate could have"))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.0.provider))
            .with_protocol_versions(VERSIONS)
            .map_err(|error| error.to_string())?;
        let verdict = Arc::clone(&self.0) as Arc<dyn ServerCertVerifier>;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verdict).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let stream = BufReader::with_capacity(READ_BYTES, stream);
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = Box::pin(connecting).await.map_err(|error| failed(&error))?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

fn verifier(ca: &Path, crl: Option<&Path>, nodes: &[String]) -> Result<Verifier, TlsError> {
    let crls = crl.map(lists).transpose()?.unwrap_or_default();
    Ok(Verifier { roots: anchors(ca)?, crls, nodes: nodes.into(), provider: Arc::new(provider()) })
}

impl Verdict {
    fn look(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), String> {
        match &self.whom {
            Whom::Host(verifier) => {
                let certificate = verifier.counts(own, others, Role::Server, now)?;
                let of_it = certificate.verify_is_valid_for_subject_name(host);
                of_it.map_err(|_| format!("it is not of {}", host.to_str()))
            }
            Whom::Node(verifier, node) => match verifier.check(own, others, Role::Server, now)? {
                named if named == *node => Ok(()),
                named => Err(format!("it is of node {named}, and node {node} was asked")),
            },
            Whom::Exactly(certificate) if certificate == own => Ok(()),
            Whom::Exactly(_) => Err("it is not the one that this worker has shown last".to_owned()),
        }
    }
}

impl ServerCertVerifier for Verdict {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.look(end_entity, intermediates, server_name, now);
        verdict.map(|()| ServerCertVerified::assertion()).map_err(unfit)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong in a handshake. What is said of a certificate stands in the cause.
fn failed(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::Other(other))) => {
            format!("its certificate does not count here: {other}")
        }
        Some(Error::InvalidMessage(_)) => {
            "what it says is no TLS; with http:// it is asked without".to_owned()
        }
        Some(other) => format!("the TLS handshake failed: {other}"),
        None => format!("the TLS handshake failed: {error}"),
    }
}
