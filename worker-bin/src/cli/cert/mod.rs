//! `worker cert`: a small CA, and the certificates by which the nodes of a cluster know each other.

mod edit;

use super::exit::{WRONG, say, wrong_file};
use super::print_document;
use crate::pipeline::Cluster;
use crate::text::escape;
use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use worker_net::{TlsError, read_certificates, revoked_serials};

/// The end of its help.
pub const EXAMPLES: &str = "\
A node shows NAME.pem, proves by NAME.key that it is its own, and believes whom ca.pem vouches for. Each node needs its own two \
files and ca.pem; ca.key makes certificates, and belongs on no node.

Examples:
  worker cert init                                     # certs/ca.pem and certs/ca.key
  worker cert issue --cluster cluster.toml             # one for each node, and its lines in the file
  worker cert issue d                                  # one for a node that is added
  worker cert show certs/a.pem
  worker cert revoke certs/a.pem                       # certs/crl.pem: a stolen key is worth nothing any more

Exit status: 0 done; 1 a file cannot be written; 2 the command line or a file is wrong, or a file is in the way.";

/// What is done with certificates.
#[derive(Clone, Debug, Subcommand)]
pub enum CertCommand {
    /// Make a CA: the one that vouches for the nodes of a cluster
    Init(InitArgs),
    /// Make keys and certificates for nodes
    Issue(IssueArgs),
    /// Put certificates on the list of those that do not count any more
    Revoke(RevokeArgs),
    /// Say whose certificates a file has, and until when they are valid
    Show(ShowArgs),
}

/// Where a CA is.
#[derive(Clone, Debug, Args)]
pub struct CaArgs {
    /// The directory of ca.pem and ca.key, and of what they make
    #[arg(long, value_name = "DIR", default_value = "certs", value_hint = clap::ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// Arguments of `worker cert init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub ca: CaArgs,
    /// For how many days it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
}

/// Arguments of `worker cert issue`.
#[derive(Clone, Debug, Args)]
pub struct IssueArgs {
    /// The nodes, by their names
    #[arg(value_name = "NODE", required_unless_present = "cluster")]
    pub nodes: Vec<String>,
    /// For all nodes of this file that have none, and put the lines that name them into it
    #[arg(long, value_name = "FILE", conflicts_with = "nodes", value_hint = clap::ValueHint::FilePath)]
    pub cluster: Option<PathBuf>,
    #[command(flatten)]
    pub ca: CaArgs,
    /// For how many days they are valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// Replace what is there: nodes that run take the new ones by themselves
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `worker cert revoke`.
#[derive(Clone, Debug, Args)]
pub struct RevokeArgs {
    /// Certificates
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub ca: CaArgs,
}

/// Arguments of `worker cert show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Certificates
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

/// Why it was not done.
#[derive(Debug, Error)]
enum CertError {
    #[error("{} is there already; --force replaces it", path.display())]
    InTheWay { path: PathBuf },
    #[error("{} is there already: a new CA would make worthless what it has made; remove it by hand if that is wanted", path.display())]
    CaThere { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {}: {source}; `worker cert init` makes it", path.display())]
    Ca { path: PathBuf, source: io::Error },
    #[error("{} has no private key that `worker cert` has made", path.display())]
    CaKey { path: PathBuf },
    #[error(
        "`{name}` cannot be the name of a node: expected up to 64 letters, digits, `_`, `-` and `.`, a letter or digit first"
    )]
    Name { name: String },
    #[error(transparent)]
    Read(#[from] TlsError),
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

impl CertError {
    fn status(&self) -> ExitCode {
        match self {
            Self::Write { .. } | Self::Make(_) => ExitCode::FAILURE,
            Self::InTheWay { .. }
            | Self::CaThere { .. }
            | Self::Ca { .. }
            | Self::CaKey { .. }
            | Self::Name { .. }
            | Self::Read(_) => ExitCode::from(WRONG),
        }
    }
}

/// Does what was asked.
#[must_use]
pub(super) fn cert(command: &CertCommand) -> ExitCode {
    let said = match command {
        CertCommand::Init(args) => init(args),
        CertCommand::Issue(args) => match nodes(args) {
            Ok(nodes) => issue(args, &nodes),
            Err(status) => return status,
        },
        CertCommand::Revoke(args) => revoke(args),
        CertCommand::Show(args) => show(args),
    };
    match said {
        Ok(said) => print_document(&said).exit_code(),
        Err(error) => {
            say(&format!("error: {error}"));
            error.status()
        }
    }
}

fn init(args: &InitArgs) -> Result<String, CertError> {
    let (cert, key) = (args.ca.dir.join("ca.pem"), args.ca.dir.join("ca.key"));
    for path in [&cert, &key] {
        if path.exists() {
            return Err(CertError::CaThere { path: path.clone() });
        }
    }
    let failed = |source| CertError::Write { path: args.ca.dir.clone(), source };
    std::fs::create_dir_all(&args.ca.dir).map_err(failed)?;
    let pair = KeyPair::generate()?;
    let mut params = authority();
    valid_for(&mut params, args.days);
    let made = params.self_signed(&pair)?;
    write(&key, &pair.serialize_pem(), 0o600, false)?;
    write(&cert, &made.pem(), 0o644, false)?;
    let (cert, key) = (cert.display(), key.display());
    Ok(format!("{cert}: what every node gets\n{key}: what makes certificates; keep it off the nodes\n"))
}

/// Those that get one; a cluster file may leave none to do.
fn nodes(args: &IssueArgs) -> Result<Vec<String>, ExitCode> {
    let Some(file) = &args.cluster else { return Ok(args.nodes.clone()) };
    let cluster = Cluster::load(file).map_err(|error| wrong_file(&error))?;
    let wanted = cluster.nodes().iter().filter(|node| node.tls.is_none() || args.force);
    Ok(wanted.map(|node| node.name.clone()).collect())
}

fn issue(args: &IssueArgs, nodes: &[String]) -> Result<String, CertError> {
    let issuer = args.ca.issuer()?;
    let paths =
        |node: &str| [args.ca.dir.join(format!("{node}.pem")), args.ca.dir.join(format!("{node}.key"))];
    for node in nodes {
        let first = node.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let rest = node.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !(first && rest && node.len() <= 64) || node == "ca" || node == "crl" {
            return Err(CertError::Name { name: node.clone() });
        }
        let there = paths(node).into_iter().find(|path| path.exists() && !args.force);
        if let Some(path) = there {
            return Err(CertError::InTheWay { path });
        }
    }
    let mut said = String::new();
    for node in nodes {
        let pair = KeyPair::generate()?;
        let made = node_params(node, args.days)?.signed_by(&pair, &issuer)?;
        let [cert, key] = paths(node);
        write(&key, &pair.serialize_pem(), 0o600, args.force)?;
        write(&cert, &made.pem(), 0o644, args.force)?;
        said += &format!("{}, {}: for node {node}\n", cert.display(), key.display());
    }
    Ok(said + &edit::name_them(args, nodes)?)
}

fn revoke(args: &RevokeArgs) -> Result<String, CertError> {
    let issuer = args.ca.issuer()?;
    let list = args.ca.dir.join("crl.pem");
    let mut serials = if list.exists() { revoked_serials(&list)? } else { Vec::new() };
    for file in &args.files {
        serials.extend(read_certificates(file)?.into_iter().take(1).map(|certificate| certificate.serial));
    }
    serials.sort_unstable();
    serials.dedup();
    let now = rcgen::date_time_ymd(1970, 1, 1) + since_1970();
    let revoked = |serial: &Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: now,
        next_update: now + days(3650),
        crl_number: SerialNumber::from(since_1970().as_secs()),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    write(&list, &params.signed_by(&issuer)?.pem()?, 0o644, true)?;
    Ok(format!(
        "{}: {} certificates that do not count any more; every node needs it, as `crl` of its [node.NAME]\n",
        list.display(),
        serials.len()
    ))
}

fn show(args: &ShowArgs) -> Result<String, CertError> {
    let mut said = String::new();
    let now = since_1970().as_secs();
    for file in &args.files {
        for certificate in read_certificates(file)? {
            let names = if certificate.names.is_empty() {
                "no name".to_owned()
            } else {
                escape::foreign(&certificate.names.join(", "))
            };
            let days = certificate.until.saturating_sub(now) / 86_400;
            let left = match (now < certificate.from, now >= certificate.until) {
                (true, _) => "not valid yet".to_owned(),
                (_, true) => "expired".to_owned(),
                _ => format!("valid for {days} days more"),
            };
            let serial: String = certificate.serial.iter().map(|byte| format!("{byte:02x}")).collect();
            said += &format!("{}: {names}; {left}; serial number {serial}\n", file.display());
        }
    }
    Ok(said)
}

impl CaArgs {
    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, CertError> {
        let (cert, key) = (self.dir.join("ca.pem"), self.dir.join("ca.key"));
        let text =
            std::fs::read_to_string(&key).map_err(|source| CertError::Ca { path: key.clone(), source })?;
        std::fs::metadata(&cert).map_err(|source| CertError::Ca { path: cert, source })?;
        // What is wrong with a key is not said: it might be quoted.
        let pair = KeyPair::from_pem(&text).map_err(|_| CertError::CaKey { path: key })?;
        Ok(Issuer::new(authority(), pair))
    }
}

/// What all CAs of this command are called: who made a certificate is found out by the key.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "worker cluster CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn node_params(node: &str, days: u32) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, node);
    // Not every name of a node can be one of a host; every one can stand in a URI.
    params.subject_alt_names = vec![SanType::URI(format!("worker://{node}").try_into()?)];
    if node.contains(|c: char| c.is_ascii_alphabetic()) && !node.contains('_') {
        params.subject_alt_names.push(SanType::DnsName(node.try_into()?));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid_for(&mut params, days);
    Ok(params)
}

/// From an hour ago on, for clocks differ.
fn valid_for(params: &mut CertificateParams, count: u32) {
    let now = rcgen::date_time_ymd(1970, 1, 1) + since_1970();
    params.not_before = now - Duration::from_secs(3600);
    params.not_after = now + days(count);
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Writes a file whole or not at all; nobody sees a key that may not.
fn write(path: &Path, text: &str, mode: u32, replaces: bool) -> Result<(), CertError> {
    let failed = |source| CertError::Write { path: path.to_owned(), source };
    let new = path.with_extension("new");
    std::fs::remove_file(&new)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    if replaces {
        std::fs::rename(&new, path).map_err(failed)
    } else {
        let linked = std::fs::hard_link(&new, path);
        std::fs::remove_file(&new).map_err(failed)?;
        linked.map_err(|source| {
            let is_there = source.kind() == io::ErrorKind::AlreadyExists;
            if is_there { CertError::InTheWay { path: path.to_owned() } } else { failed(source) }
        })
    }
}
