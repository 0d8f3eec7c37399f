//! `worker cert`: a small CA, and the certificates by which the nodes of a cluster know each other.

mod edit;
mod params;

use super::exit::{WRONG, say, wrong_file};
use super::print_told;
use crate::admin::Place;
use crate::pipeline::{Cluster, ClusterNode};
use crate::text::escape;
use clap::{Args, Subcommand};
use params::{authority, days, node_params, san, since_1970, valid_for};
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
  worker cert issue run --host 10.0.0.7                # one for the admin address of a worker run
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
    /// A name or address by which browsers and commands ask the admin address; repeatable [default: with --cluster, the hosts of each
    /// node's address and admin]
    #[arg(long, value_name = "HOST", conflicts_with = "cluster", value_parser = host)]
    pub host: Vec<String>,
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
            Ok(wanted) => issue(args, &wanted),
            Err(status) => return status,
        },
        CertCommand::Revoke(args) => revoke(args),
        CertCommand::Show(args) => show(args),
    };
    match said {
        Ok(said) => print_told(&said).exit_code(),
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

/// Who gets a certificate.
struct Wanted {
    node: String,
    /// Names and addresses of its machine.
    hosts: Vec<String>,
}

/// Those that get one; a cluster file may leave none to do.
fn nodes(args: &IssueArgs) -> Result<Vec<Wanted>, ExitCode> {
    let Some(file) = &args.cluster else {
        let wanted = args.nodes.iter().map(|node| Wanted { node: node.clone(), hosts: args.host.clone() });
        return Ok(wanted.collect());
    };
    let cluster = Cluster::load(file).map_err(|error| wrong_file(&error))?;
    let wanted = cluster.nodes().iter().filter(|node| node.tls.is_none() || args.force);
    // A host that is called as another node would make it speak for that one.
    let is_free = |host: &String, node: &ClusterNode| {
        cluster.nodes().iter().all(|other| other.name != *host || other.name == node.name)
    };
    let of = |node: &ClusterNode| Wanted {
        node: node.name.clone(),
        hosts: hosts(node).into_iter().filter(|host| is_free(host, node)).collect(),
    };
    Ok(wanted.map(of).collect())
}

/// Where a node is reached, without ports; not where it only listens.
fn hosts(node: &ClusterNode) -> Vec<String> {
    let places = [Some(Place::plain(&node.address)), node.asked_at()];
    let hosts = places.into_iter().flatten().map(|place| place.host().trim_matches(['[', ']']).to_owned());
    hosts.filter(|host| !host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())).collect()
}

fn host(text: &str) -> Result<String, String> {
    san(text)
        .map(|_| text.to_owned())
        .ok_or_else(|| "expected a name or an address, such as node-a.example or 10.0.0.1".to_owned())
}

fn issue(args: &IssueArgs, wanted: &[Wanted]) -> Result<String, CertError> {
    let issuer = args.ca.issuer()?;
    let paths =
        |node: &str| [args.ca.dir.join(format!("{node}.pem")), args.ca.dir.join(format!("{node}.key"))];
    for Wanted { node, .. } in wanted {
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
    for Wanted { node, hosts } in wanted {
        let pair = KeyPair::generate()?;
        let made = node_params(node, hosts, args.days)?.signed_by(&pair, &issuer)?;
        let [cert, key] = paths(node);
        write(&key, &pair.serialize_pem(), 0o600, args.force)?;
        write(&cert, &made.pem(), 0o644, args.force)?;
        said += &format!("{}, {}: for node {node}\n", cert.display(), key.display());
    }
    let nodes: Vec<String> = wanted.iter().map(|wanted| wanted.node.clone()).collect();
    Ok(said + &edit::name_them(args, &nodes)?)
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
