//! Whether a certificate counts, and of which node it is.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};
use std::sync::Arc;
use webpki::{CertRevocationList, EndEntityCert, KeyUsage, RevocationOptionsBuilder, UnknownStatusPolicy};

/// As what a certificate was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// By who has dialled.
    Client,
    /// By who was dialled.
    Server,
}

/// Whom a node believes.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) roots: Vec<TrustAnchor<'static>>,
    pub(super) crls: Vec<CertRevocationList<'static>>,
    /// The names of all nodes of the cluster.
    pub(super) nodes: Arc<[String]>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// Why a certificate does not count.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(String);

impl Verifier {
    /// The node that a chain, the node's own certificate first, is of; or why it does not count now.
    pub(super) fn check_now(&self, chain: &[CertificateDer<'_>], role: Role) -> Result<String, String> {
        let Some((own, others)) = chain.split_first() else { return Err("there is none".to_owned()) };
        self.check(own, others, role, UnixTime::now())
    }

    pub(super) fn check(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<String, String> {
        self.node_of(&self.counts(own, others, role, now)?)
    }

    /// The certificate, where those that are believed vouch for it.
    pub(super) fn counts<'c>(
        &self,
        own: &'c CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<EndEntityCert<'c>, String> {
        let certificate = EndEntityCert::try_from(own).map_err(|error| said(&error))?;
        let usage = match role {
            Role::Client => KeyUsage::client_auth(),
            Role::Server => KeyUsage::server_auth(),
        };
        let crls: Vec<_> = self.crls.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&crls).ok();
        // A list may be of one of several authorities; one that is out of date still says whom not to believe.
        let revocation =
            revocation.map(|options| options.with_status_policy(UnknownStatusPolicy::Allow).build());
        let algorithms = self.provider.signature_verification_algorithms.all;
        certificate
            .verify_for_usage(algorithms, &self.roots, others, now, usage, revocation, None)
            .map_err(|error| said(&error))?;
        Ok(certificate)
    }

    /// The one node of the cluster that a certificate names, letter by letter: no name of a node is a pattern.
    fn node_of(&self, certificate: &EndEntityCert<'_>) -> Result<String, String> {
        let names = certificate.valid_dns_names().chain(certificate.valid_uri_names().map(last_part));
        let mut named: Vec<&String> =
            names.filter_map(|name| self.nodes.iter().find(|node| *node == name)).collect();
        named.sort_unstable();
        named.dedup();
        match named[..] {
            [node] => Ok(node.clone()),
            [] => Err("no DNS name or URI in it is the name of a node of the cluster".to_owned()),
            _ => Err("it names several nodes of the cluster, and a node may speak for one".to_owned()),
        }
    }

    fn verdict(
        &self,
        chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        role: Role,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.check(chain.0, chain.1, role, now).map(drop).map_err(unfit)
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
}

/// As rustls gives it on.
pub(super) fn unfit(why: String) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Unfit(why)))))
}

/// What stands behind the last `/` or `:` of a URI, such as `worker://a` or `spiffe://example.org/node/a`.
fn last_part(uri: &str) -> &str {
    uri.rsplit(['/', ':']).next().unwrap_or(uri)
}

fn said(error: &webpki::Error) -> String {
    let plain = if matches!(error, webpki::Error::CertExpired { .. }) {
        "it has expired"
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        "it is not valid yet: are the clocks right?"
    } else if *error == webpki::Error::CertRevoked {
        "it was revoked"
    } else if [webpki::Error::UnknownIssuer, webpki::Error::InvalidSignatureForPublicKey].contains(error) {
        // The second where a CA of the same name is believed.
        "it is of no CA that is believed here"
    } else {
        return format!("{error:?}");
    };
    plain.to_owned()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verdict((end_entity, intermediates), Role::Server, now).map(|()| ServerCertVerified::assertion())
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
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verdict((end_entity, intermediates), Role::Client, now).map(|()| ClientCertVerified::assertion())
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
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
