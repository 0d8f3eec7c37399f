//! The files that say what a node shows and whom it believes.

use super::der::validity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, TrustAnchor};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, OwnedCertRevocationList,
    anchor_from_trusted_cert,
};

/// The largest of them that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where they are; all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate, and behind it those between it and the CA's.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of those whose nodes are believed.
    pub ca: PathBuf,
    /// Lists of certificates that were revoked.
    pub crl: Option<PathBuf>,
}

/// Where a server's certificate is that asks none of others, and its key; both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsFiles {
    /// The certificate, and behind it those between it and its CA's.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why TLS cannot be had. Nothing of a key is in it.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file has not what it should have.
    #[error("{} is wrong: {why}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// What, and what to do.
        why: String,
    },
}

/// What is in them.
pub(super) struct Read {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: Vec<TrustAnchor<'static>>,
    pub(super) crls: Vec<CertRevocationList<'static>>,
}

impl Read {
    pub(super) fn all(files: &TlsFiles) -> Result<Self, TlsError> {
        let (chain, key) = (certificates(&files.cert)?, private_key(&files.key)?);
        let roots = anchors(&files.ca)?;
        let crls = files.crl.as_deref().map(lists).transpose()?.unwrap_or_default();
        Ok(Self { chain, key, roots, crls })
    }
}

impl TlsFiles {
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key, &self.ca].into_iter().chain(&self.crl)
    }

    pub(super) fn wrong_cert(&self, why: String) -> TlsError {
        wrong(&self.cert, &why)
    }
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    // What the reader says of a key might quote it.
    PrivateKeyDer::from_pem_slice(&bytes(path)?)
        .map_err(|_| wrong(path, "expected a private key in PEM (PKCS#8, SEC1 or PKCS#1)"))
}

/// Those whose certificates are believed.
pub(super) fn anchors(path: &Path) -> Result<Vec<TrustAnchor<'static>>, TlsError> {
    let anchor = |root: &CertificateDer<'_>| {
        let anchor = anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned());
        anchor.map_err(|error| wrong(path, &format!("a certificate cannot be understood: {error:?}")))
    };
    certificates(path)?.iter().map(anchor).collect()
}

pub(super) fn wrong_key(key: &Path, cert: &Path, error: &rustls::Error) -> TlsError {
    let why = if matches!(error, rustls::Error::InconsistentKeys(_)) {
        format!("it is not the key of the certificate in {}", cert.display())
    } else {
        // Of a key nothing is said.
        "it is no key that can be used; `worker cert issue` makes one that can".to_owned()
    };
    wrong(key, &why)
}

/// A certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// DNS names and URIs that it is of.
    pub names: Vec<String>,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// From when it is valid, in seconds since 1970.
    pub from: u64,
    /// Until when.
    pub until: u64,
}

/// The certificates in a file, in PEM.
///
/// # Errors
/// It cannot be read, or has none.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, TlsError> {
    certificates(path)?.iter().map(|der| told(path, der)).collect()
}

/// What people want to know of a certificate.
pub(super) fn told(path: &Path, der: &CertificateDer<'_>) -> Result<Certificate, TlsError> {
    let senseless = || wrong(path, "a certificate cannot be understood");
    let certificate = EndEntityCert::try_from(der).map_err(|_| senseless())?;
    let (from, until) = validity(der).ok_or_else(senseless)?;
    let names = certificate.valid_uri_names().chain(certificate.valid_dns_names());
    let (names, serial) = (names.map(str::to_owned).collect(), certificate.serial().to_vec());
    Ok(Certificate { names, serial, from, until })
}

/// When the first certificate of a chain ends, in seconds since 1970.
pub(super) fn end_of(cert: &Path, chain: &[CertificateDer<'_>]) -> Result<u64, TlsError> {
    let end = chain.first().and_then(|own| validity(own)).map(|(_, end)| end);
    end.ok_or_else(|| wrong(cert, "it does not say until when it is valid"))
}

/// The serial numbers in the revocation lists of a file.
///
/// # Errors
/// It cannot be read, or is no list in PEM.
pub fn revoked_serials(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let mut serials = Vec::new();
    for list in raw_lists(path)? {
        let list =
            BorrowedCertRevocationList::from_der(&list).map_err(|error| not_understood(path, &error))?;
        for revoked in &list {
            let revoked = revoked.map_err(|error| not_understood(path, &error))?;
            serials.push(revoked.serial_number.to_vec());
        }
    }
    Ok(serials)
}

pub(super) fn lists(path: &Path) -> Result<Vec<CertRevocationList<'static>>, TlsError> {
    let own =
        |list: &CertificateRevocationListDer<'_>| OwnedCertRevocationList::from_der(list).map(Into::into);
    let lists = raw_lists(path)?;
    lists.iter().map(|list| own(list).map_err(|error| not_understood(path, &error))).collect()
}

fn not_understood(path: &Path, error: &webpki::Error) -> TlsError {
    wrong(path, &format!("a revocation list cannot be understood: {error:?}"))
}

fn raw_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes(path)?).collect();
    let lists =
        lists.map_err(|_| wrong(path, "expected revocation lists in PEM (-----BEGIN X509 CRL-----)"))?;
    if lists.is_empty() {
        return Err(wrong(path, "it has no revocation list in PEM (-----BEGIN X509 CRL-----)"));
    }
    Ok(lists)
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    let found =
        found.map_err(|_| wrong(path, "expected certificates in PEM (-----BEGIN CERTIFICATE-----)"))?;
    if found.is_empty() {
        return Err(wrong(path, "it has no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(found)
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    // Whoever has put a pipe there is not waited for.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(wrong(path, "it is no file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(path, &format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn wrong(path: &Path, why: &str) -> TlsError {
    TlsError::Wrong { path: path.to_owned(), why: why.to_owned() }
}

/// By what a change of the files is seen, without reading them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 5]>>);

impl Stamp {
    pub(super) fn of<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Self {
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            Some([
                number(found.dev()),
                number(found.ino()),
                number(found.len()),
                found.mtime(),
                found.mtime_nsec(),
            ])
        };
        Self(paths.into_iter().map(stamp).collect())
    }
}
