//! Where a run is asked how it is, and by whom.

use crate::admin::{AdminAddress, AdminSettings, Token, TokenFileError};
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// What is said of the admin address of a run.
#[derive(Clone, Debug, Default, Args)]
pub struct AdminArgs {
    /// Where the admin API and the live page are, or none [default: 127.0.0.1:7480 or the next free port; for a node, as the
    /// cluster file says]
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
    /// Let --admin be an address that other machines reach, although what is said there, the token too, travels in clear; each
    /// start warns
    #[arg(long)]
    pub admin_insecure: bool,
}

impl AdminArgs {
    /// What a run is told; `of_cluster` is the address in the cluster file, which may trust its network (`insecure`).
    ///
    /// # Errors
    /// A file gives no token.
    pub fn settings(
        &self,
        of_cluster: Option<&str>,
        insecure: bool,
    ) -> Result<AdminSettings, TokenFileError> {
        let address = match (&self.admin, of_cluster) {
            (Some(admin), _) => admin.clone(),
            (None, Some(admin)) => AdminAddress::At(admin.to_owned()),
            (None, None) => AdminAddress::Loopback,
        };
        let token = self.admin_token_file.as_deref().map(Token::from_file).transpose()?;
        let (hosts, insecure) = (self.admin_host.clone(), self.admin_insecure || insecure);
        Ok(AdminSettings { address, hosts, token, insecure })
    }
}

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    text.parse()
}
