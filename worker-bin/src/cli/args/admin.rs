//! Where a run is asked how it is, and by whom.

use crate::admin::{AdminAddress, AdminSettings, Place, Token, TokenFileError};
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use worker_net::{Https, HttpsFiles, TlsError};

/// What is said of the admin address of a run.
#[derive(Clone, Debug, Default, Args)]
pub struct AdminArgs {
    /// Where the admin API and the live page are, or none; https://HOST:PORT for TLS [default: 127.0.0.1:7480 or the next free
    /// port; for a node, as the cluster file says]
    #[arg(long, value_name = "HOST:PORT", value_parser = admin_address)]
    pub admin: Option<AdminAddress>,
    /// A name by which the admin API may be asked, as by a proxy or a service in front of it; repeatable [default: addresses,
    /// localhost, and the HOST of --admin]
    #[arg(long, value_name = "NAME")]
    pub admin_host: Vec<String>,
    /// A file, such as a mounted secret, whose first line is the token of the admin API; read once, at the start [default:
    /// WORKER_ADMIN_TOKEN, or a new one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub admin_token_file: Option<PathBuf>,
    /// Speak TLS at the admin address, and show this certificate there, in PEM; read again when it changes [default: the node's
    /// own in the cluster file, where --admin is https://HOST:PORT or other machines reach it]
    #[arg(long, value_name = "FILE", requires = "admin_key", value_hint = ValueHint::FilePath)]
    pub admin_cert: Option<PathBuf>,
    /// The private key of --admin-cert, in PEM
    #[arg(long, value_name = "FILE", requires = "admin_cert", value_hint = ValueHint::FilePath)]
    pub admin_key: Option<PathBuf>,
    /// Let --admin be an address that other machines reach although there is no certificate: what is said there, the token too,
    /// travels in clear; each start warns
    #[arg(long)]
    pub admin_insecure: bool,
}

/// Why the admin address cannot be as it was said.
#[derive(Debug, Error)]
pub enum AdminArgsError {
    #[error(transparent)]
    Token(#[from] TokenFileError),
    #[error("the admin address: {0}")]
    Certificate(#[from] TlsError),
    #[error(
        "--admin {0} needs a certificate: --admin-cert FILE and --admin-key FILE, or that of a node in the cluster file"
    )]
    NoCertificate(Place),
}

/// What a cluster file says of a node's admin address.
#[derive(Clone, Debug, Default)]
pub struct OfCluster {
    /// Where it is.
    pub place: Option<Place>,
    /// By what the node proves to others who it is.
    pub files: Option<HttpsFiles>,
    /// The network is trusted.
    pub insecure: bool,
}

impl AdminArgs {
    /// What a run is told.
    ///
    /// # Errors
    /// A file gives no token, or no certificate.
    pub fn settings(&self, of_cluster: &OfCluster) -> Result<AdminSettings, AdminArgsError> {
        let address = match (&self.admin, &of_cluster.place) {
            (Some(admin), _) => admin.clone(),
            (None, Some(place)) => AdminAddress::At(place.clone()),
            (None, None) => AdminAddress::Loopback,
        };
        let token = self.admin_token_file.as_deref().map(Token::from_file).transpose()?;
        let https = self.files(&address, of_cluster)?.map(Https::load).transpose()?.map(Arc::new);
        let (hosts, insecure) = (self.admin_host.clone(), self.admin_insecure || of_cluster.insecure);
        Ok(AdminSettings { address, hosts, token, https, insecure })
    }

    /// The files of its certificate: those that are given for it, else the node's, where TLS is asked for or other machines may come.
    fn files(
        &self,
        address: &AdminAddress,
        of_cluster: &OfCluster,
    ) -> Result<Option<HttpsFiles>, AdminArgsError> {
        let own = self.admin_cert.clone().zip(self.admin_key.clone());
        let own = own.map(|(cert, key)| HttpsFiles { cert, key });
        let place = match address {
            AdminAddress::Off => return Ok(None),
            AdminAddress::Loopback => return Ok(own),
            AdminAddress::At(place) => place,
        };
        let wanted = place.tls || !place.is_loopback();
        match own.or_else(|| of_cluster.files.clone().filter(|_| wanted)) {
            None if place.tls => Err(AdminArgsError::NoCertificate(place.clone())),
            found => Ok(found),
        }
    }
}

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    text.parse()
}
