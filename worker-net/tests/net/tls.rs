//! Who is let in by a certificate, and for how long.

mod https;

use crate::mock::{Mock, bytes_of, serve, welcome};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use worker_net::{
    Breach, CloseCause, Guard, Listener, Reread as _, Settings, Stream, Tls, TlsError, TlsFiles, Turned,
    dial, drive_guarded, read_certificates,
};
use worker_proto::Frame;

const HOUR: Duration = Duration::from_secs(3600);

/// A CA, and a directory with what it makes.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

/// What a certificate says.
#[derive(Clone, Copy)]
struct Says<'a> {
    names: &'a [&'a str],
    uris: &'a [&'a str],
    serial: u64,
    /// From an hour ago until so long from now, or so long ago.
    valid: Result<Duration, Duration>,
}

impl<'a> Says<'a> {
    fn name(names: &'a [&'a str]) -> Self {
        Self { names, uris: &[], serial: 1, valid: Ok(HOUR) }
    }
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), dir }
    }

    fn issues(&self, file: &str, says: Says<'_>) -> TlsFiles {
        let mut params =
            CertificateParams::new(says.names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).unwrap();
        let uris = says.uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.serial_number = Some(SerialNumber::from(says.serial));
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = rcgen::date_time_ymd(1970, 1, 1) + since_1970;
        params.not_before = now - HOUR;
        params.not_after = match says.valid {
            Ok(time) => now + time,
            Err(time) => now - time,
        };
        let key = KeyPair::generate().unwrap();
        let path = |ending: &str| self.dir.path().join(format!("{file}.{ending}"));
        std::fs::write(path("pem"), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let crl = Some(self.dir.path().join("crl.pem")).filter(|crl| crl.exists());
        TlsFiles { cert: path("pem"), key: path("key"), ca: self.dir.path().join("ca.pem"), crl }
    }

    fn revokes(&self, serials: &[u64]) {
        let now = rcgen::date_time_ymd(2024, 1, 1);
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: rcgen::date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap().pem().unwrap();
        std::fs::write(self.dir.path().join("crl.pem"), list).unwrap();
    }

    fn node(&self, name: &str) -> Arc<Tls> {
        // What is no name of a host can be the end of a URI.
        let uri = format!("worker://{name}");
        tls(self.issues(name, Says { uris: &[&uri], ..Says::name(&[]) }), name)
    }
}

fn nodes() -> [String; 3] {
    ["a".to_owned(), "b".to_owned(), "3".to_owned()]
}

fn load(files: TlsFiles, me: &str) -> Result<Tls, TlsError> {
    Tls::load(files, me, &nodes())
}

fn tls(files: TlsFiles, me: &str) -> Arc<Tls> {
    Arc::new(load(files, me).unwrap())
}

fn fast() -> Settings {
    Settings { ping_every: Duration::from_millis(50), ..Settings::default() }
}

/// What the dialling side and the accepting side came to; `None`: the dialling side speaks no TLS.
async fn meet(
    a: Option<Arc<Tls>>,
    b: Arc<Tls>,
    mock: &Arc<Mock>,
) -> (Option<Result<(Stream, Guard), String>>, Result<Option<String>, Turned>) {
    let settings = fast();
    let listener = Listener::bind("127.0.0.1:0", settings).await.unwrap().with_tls(Some(b));
    let address = listener.address().unwrap().to_string();
    let (incoming, endpoint) = (async { listener.accept().await }, Arc::clone(mock));
    let accepts = async move {
        let greeted = incoming.await.greeted(&settings).await?;
        let node = greeted.node().map(str::to_owned);
        tokio::spawn(async move { greeted.drive(1, endpoint, Arc::new(Notify::new()), &settings).await });
        Ok::<_, Turned>(node)
    };
    let dials = async move {
        let mut stream = dial(&address, &settings).await.unwrap();
        let Some(a) = a else {
            stream.write_all(&bytes_of([&welcome()])).await.unwrap();
            return None;
        };
        let mut dialled = a.dialled(stream, "b", &settings).await;
        if let Ok((stream, _)) = &mut dialled {
            // It may have been refused by then.
            stream.write_all(&bytes_of([&welcome()])).await.ok();
            stream.flush().await.ok();
        }
        Some(dialled)
    };
    tokio::join!(dials, accepts)
}

async fn turned_away(a: Option<Arc<Tls>>, b: Arc<Tls>) -> String {
    let (_, accepted) = meet(a, b, &Mock::new([])).await;
    let turned = accepted.expect_err("somebody is let in");
    assert_eq!(turned.breach, Some(Breach::Certificate), "{turned}");
    turned.why
}

#[tokio::test]
async fn nodes_of_one_ca_know_each_other_and_data_goes_both_ways() {
    let ca = Ca::new();
    let batches = || (0..200).map(|first| crate::mock::batch(first + 1, 1000, 100));
    let mock = Mock::new([welcome()].into_iter().chain(batches()));
    let (dialled, accepted) = meet(Some(ca.node("a")), ca.node("b"), &mock).await;
    assert_eq!(accepted.unwrap().as_deref(), Some("a"));
    let (stream, guard) = dialled.unwrap().unwrap();
    assert_eq!(guard.node(), "b");
    let other = Mock::new(batches());
    serve(stream, &other, Settings::default());
    for mock in [&mock, &other] {
        let all = |state: &crate::mock::State| {
            state.received.iter().filter(|f| matches!(f, Frame::Batch(_))).count()
        };
        mock.until("all came", |state| all(state) == 200).await;
    }
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let (ca, other) = (Ca::new(), Ca::new());
    let b = || ca.node("b");
    let why = turned_away(None, b()).await;
    assert!(why.contains("no TLS"), "{why}");
    let mut foreign = other.issues("a", Says::name(&["a"]));
    foreign.ca = ca.dir.path().join("ca.pem");
    // What it believes itself is its own affair: a stranger's own files say what he likes.
    let foreign =
        Tls::load(TlsFiles { ca: other.dir.path().join("ca.pem"), ..foreign }, "a", &nodes()).unwrap();
    let why = turned_away(Some(Arc::new(foreign)), b()).await;
    assert!(why.contains("does not take") || why.contains("no CA that is believed"), "{why}");
}

#[tokio::test]
async fn who_was_dialled_must_be_the_one_that_was_meant() {
    let ca = Ca::new();
    let (dialled, _) = meet(Some(ca.node("a")), ca.node("3"), &Mock::new([])).await;
    let why = dialled.unwrap().unwrap_err();
    assert!(why.contains("dialled node b, but the certificate is of node 3"), "{why}");
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_sessions_and_lets_nobody_in() {
    let ca = Ca::new();
    ca.revokes(&[99]);
    let a = tls(ca.issues("a", Says { serial: 7, ..Says::name(&["a"]) }), "a");
    let b = ca.node("b");
    let (mock, other) = (Mock::new([welcome()]), Mock::new([]));
    let (dialled, accepted) = meet(Some(Arc::clone(&a)), Arc::clone(&b), &mock).await;
    assert!(accepted.is_ok());
    let (stream, guard) = dialled.unwrap().unwrap();
    let endpoint = Arc::clone(&other);
    tokio::spawn(async move {
        drive_guarded(stream, 2, endpoint, Arc::new(Notify::new()), &fast(), Some(guard)).await
    });
    mock.until("the greeting came", |state| !state.received.is_empty()).await;
    assert!(!b.has_changed());
    ca.revokes(&[7, 99]);
    assert!(b.has_changed());
    b.reload().unwrap();
    let why = mock.end().await;
    assert!(why.contains("it was revoked"), "{why}");
    assert_eq!(mock.with(|state| state.cause), Some(CloseCause::Breach(Breach::Certificate)));
    let why = turned_away(Some(a), b).await;
    assert!(why.contains("it was revoked"), "{why}");
}

#[tokio::test]
async fn an_expired_certificate_ends_its_sessions() {
    let ca = Ca::new();
    let a = tls(ca.issues("a", Says { valid: Ok(Duration::from_secs(8)), ..Says::name(&["a"]) }), "a");
    let mock = Mock::new([welcome()]);
    let (dialled, _) = meet(Some(a), ca.node("b"), &mock).await;
    let (stream, _) = dialled.unwrap().unwrap();
    serve(stream, &Mock::new([]), Settings::default());
    let why = mock.end().await;
    assert!(why.contains("it has expired"), "{why}");
}

#[test]
fn what_a_node_shows_is_looked_at_before_others_do() {
    let (ca, other) = (Ca::new(), Ca::new());
    let shows = |says: Says<'_>| match load(ca.issues("x", says), "a") {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(shows(Says::name(&["a"])), "");
    assert_eq!(shows(Says::name(&["a", "host.example"])), "", "other names are nobody's");
    assert_eq!(shows(Says { uris: &["worker://a"], ..Says::name(&[]) }), "");
    assert_eq!(
        shows(Says { uris: &["spiffe://example.org/node/a"], ..Says::name(&["a"]) }),
        "",
        "twice the same"
    );
    for (says, part) in [
        (Says::name(&["b"]), "it is of node b, and this is node a"),
        (Says::name(&["host.example"]), "is the name of a node"),
        (Says { uris: &["worker://b"], ..Says::name(&["a"]) }, "several nodes"),
        (Says { valid: Err(Duration::from_secs(60)), ..Says::name(&["a"]) }, "it has expired"),
    ] {
        let why = shows(says);
        assert!(why.contains(part) && why.contains("x.pem"), "{why}");
    }
    let good = ca.issues("a", Says::name(&["a"]));
    let foreign = TlsFiles { ca: other.dir.path().join("ca.pem"), ..good.clone() };
    assert!(load(foreign, "a").unwrap_err().to_string().contains("no CA that is believed"));
    let other_key = ca.issues("b", Says::name(&["b"])).key;
    let why = load(TlsFiles { key: other_key.clone(), ..good.clone() }, "a").unwrap_err().to_string();
    assert!(why.contains("not the key of the certificate"), "{why}");
    // Nothing of a key is said, however it is damaged.
    let key = std::fs::read_to_string(&other_key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for damaged in
        [key.replace("-----BEGIN", "----BEGIN"), key.replace("PRIVATE KEY", secret), secret.to_owned()]
    {
        std::fs::write(&other_key, damaged).unwrap();
        let error = load(TlsFiles { key: other_key.clone(), ..good.clone() }, "a").unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains("b.key") && !said.contains(secret), "{said}");
    }
    let missing = load(TlsFiles { crl: Some("/nowhere/crl.pem".into()), ..good.clone() }, "a").unwrap_err();
    assert!(missing.to_string().contains("/nowhere/crl.pem"), "{missing}");
    assert!(!format!("{:?}", tls(good, "a")).contains("PrivateKey"));
}

#[test]
fn what_a_reload_cannot_read_changes_nothing() {
    let ca = Ca::new();
    let files = ca.issues("a", Says::name(&["a"]));
    let a = tls(files.clone(), "a");
    let kept = std::fs::read(&files.cert).unwrap();
    std::fs::write(&files.cert, "half").unwrap();
    assert!(a.has_changed() && a.reload().is_err() && !a.has_changed(), "it is said once");
    std::fs::write(&files.cert, kept).unwrap();
    assert!(a.has_changed() && a.reload().is_ok());
}

#[test]
fn certificates_are_told() {
    let ca = Ca::new();
    let files = ca.issues("a", Says { uris: &["worker://a"], serial: 0x1234, ..Says::name(&["a"]) });
    let told = read_certificates(&files.cert).unwrap();
    assert_eq!(
        (told.len(), &told[0].names, &told[0].serial),
        (1, &vec!["worker://a".to_owned(), "a".to_owned()], &vec![0x12, 0x34])
    );
    assert_eq!(told[0].until - told[0].from, 7200);
    assert!(read_certificates(Path::new("/dev/zero")).is_err(), "it is no file");
}
