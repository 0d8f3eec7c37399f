//! Certificates that strangers have: a stolen one of a node, and one that a CA of their own has made.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme,
    StreamOwned,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// By the name of the node that they are of.
#[derive(Debug)]
pub(crate) struct Disguises(BTreeMap<String, Arc<ClientConfig>>);

impl Disguises {
    /// Those that stand in directories, as `NAME.pem` and `NAME.key`, by the names that they are to have here.
    pub(crate) fn read(found: &[(&str, &Path)]) -> Self {
        Self(found.iter().map(|(name, path)| ((*name).to_owned(), config(path))).collect())
    }

    /// The connection is that node's; nothing where the handshake does not come to its end.
    pub(crate) fn put_on(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> Option<StreamOwned<ClientConnection, TcpStream>> {
        let config = self.0.get(name).unwrap_or_else(|| panic!("no certificate of {name}"));
        let server = ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
        let connection = ClientConnection::new(Arc::clone(config), server).expect("a connection");
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).ok()?;
        }
        Some(stream)
    }
}

fn config(path: &Path) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(path.with_extension("pem")).expect("a certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(path.with_extension("key")).expect("a key");
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3");
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider)));
    let mut config = builder.with_client_auth_cert(chain, key).expect("a pair");
    config.enable_sni = false;
    Arc::new(config)
}

/// He does not mind who he talks to.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
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
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
