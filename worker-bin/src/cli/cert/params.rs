//! What stands in the certificates that are made.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What all CAs of this command are called: who made a certificate is found out by the key.
pub(super) fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "worker cluster CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(super) fn node_params(
    node: &str,
    hosts: &[String],
    days: u32,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, node);
    // Not every name of a node can be one of a host; every one can stand in a URI.
    params.subject_alt_names = vec![SanType::URI(format!("worker://{node}").try_into()?)];
    if node.contains(|c: char| c.is_ascii_alphabetic()) && !node.contains('_') {
        params.subject_alt_names.push(SanType::DnsName(node.try_into()?));
    }
    for host in hosts.iter().filter_map(|host| san(host)) {
        if !params.subject_alt_names.contains(&host) {
            params.subject_alt_names.push(host);
        }
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid_for(&mut params, days);
    Ok(params)
}

/// A host as it stands in a certificate.
pub(super) fn san(host: &str) -> Option<SanType> {
    if let Ok(ip) = host.parse() {
        return Some(SanType::IpAddress(ip));
    }
    let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    if !is_name || host.is_empty() {
        return None;
    }
    host.try_into().ok().map(SanType::DnsName)
}

/// From an hour ago on, for clocks differ.
pub(super) fn valid_for(params: &mut CertificateParams, count: u32) {
    let now = rcgen::date_time_ymd(1970, 1, 1) + since_1970();
    params.not_before = now - Duration::from_secs(3600);
    params.not_after = now + days(count);
}

pub(super) fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
