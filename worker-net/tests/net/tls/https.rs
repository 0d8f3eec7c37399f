//! A server that asks for no certificate, and who believes it.

use super::{Ca, HOUR, Says, nodes};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use worker_net::{Https, HttpsFiles, Reread as _, TlsFiles, Trust};

fn https(files: TlsFiles) -> Arc<Https> {
    Arc::new(Https::load(HttpsFiles { cert: files.cert, key: files.key }).unwrap())
}

/// Serves whoever comes, with what he says.
async fn served(https: &Arc<Https>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, https) = (listener.local_addr().unwrap(), Arc::clone(https));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = https.accept(stream).await else { continue };
            let mut said = [0; 5];
            if stream.read_exact(&mut said).await.is_ok() {
                stream.write_all(&said).await.ok();
                stream.flush().await.ok();
            }
        }
    });
    at
}

/// Whether he is believed, and can be talked to then.
async fn asked(at: SocketAddr, host: &str, trust: &Trust) -> Result<(), String> {
    let stream = TcpStream::connect(at).await.unwrap();
    let mut stream = trust.connect(stream, host).await?;
    stream.write_all(b"hello").await.unwrap();
    stream.flush().await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    Ok(())
}

fn ca_of(ca: &Ca) -> std::path::PathBuf {
    ca.dir.path().join("ca.pem")
}

fn of_host(ca: &Ca) -> Trust {
    Trust::in_host(&ca_of(ca)).unwrap()
}

#[tokio::test]
async fn a_host_is_believed_by_name_and_address_where_its_ca_is() {
    let (ca, other) = (Ca::new(), Ca::new());
    let at = served(&https(ca.issues("x", Says::name(&["x.example", "127.0.0.1", "::1"])))).await;
    for host in ["x.example", "127.0.0.1", "[::1]"] {
        assert_eq!(asked(at, host, &of_host(&ca)).await, Ok(()), "{host}");
    }
    for (host, trust, said) in [
        ("y.example", of_host(&ca), "it is not of y.example"),
        ("10.0.0.1", of_host(&ca), "it is not of 10.0.0.1"),
        ("x.example", of_host(&other), "of no CA that is believed"),
        ("a b", of_host(&ca), "a b is neither an address nor a name"),
    ] {
        let why = asked(at, host, &trust).await.unwrap_err();
        assert!(why.contains(said), "{host}: {why}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Ca::new();
    let says = Says { valid: Err(Duration::from_secs(60)), ..Says::name(&["127.0.0.1"]) };
    let expired = https(ca.issues("x", says));
    assert!(expired.says().unwrap().until < expired.says().unwrap().from + HOUR.as_secs());
    let at = served(&expired).await;
    let why = asked(at, "127.0.0.1", &of_host(&ca)).await.unwrap_err();
    assert!(why.contains("it has expired"), "{why}");
    assert_eq!(asked(at, "127.0.0.1", &Trust::exactly(expired.certificate())).await, Ok(()), "it is the one");
}

#[tokio::test]
async fn a_node_is_believed_by_its_own_name_unless_that_was_revoked() {
    let ca = Ca::new();
    let files = ca.issues("a", Says { serial: 7, ..Says::name(&["a"]) });
    let at = served(&https(files)).await;
    let of_node = |name: &str, crl: Option<&Path>| Trust::in_node(name, &nodes(), &ca_of(&ca), crl).unwrap();
    assert_eq!(asked(at, "127.0.0.1", &of_node("a", None)).await, Ok(()));
    let why = asked(at, "127.0.0.1", &of_node("b", None)).await.unwrap_err();
    assert!(why.contains("it is of node a, and node b was asked"), "{why}");
    ca.revokes(&[7]);
    let why = asked(at, "127.0.0.1", &of_node("a", Some(&ca.dir.path().join("crl.pem")))).await.unwrap_err();
    assert!(why.contains("it was revoked"), "{why}");
}

#[tokio::test]
async fn only_the_one_that_is_meant_is_believed_and_a_new_one_is_shown_when_it_is_read() {
    let ca = Ca::new();
    let files = ca.issues("x", Says::name(&["127.0.0.1"]));
    let server = https(files.clone());
    let (at, first) = (served(&server).await, Trust::exactly(server.certificate()));
    assert_eq!(asked(at, "anything", &first).await, Ok(()));
    assert!(!server.has_changed());
    let newer = Ca::new();
    let made = newer.issues("y", Says::name(&["127.0.0.1"]));
    std::fs::copy(&made.cert, &files.cert).unwrap();
    assert!(server.has_changed() && server.reload().is_err(), "half of it is another one's");
    assert_eq!(asked(at, "127.0.0.1", &first).await, Ok(()));
    std::fs::copy(&made.key, &files.key).unwrap();
    server.reload().unwrap();
    let why = asked(at, "127.0.0.1", &first).await.unwrap_err();
    assert!(why.contains("not the one"), "{why}");
    assert_eq!(asked(at, "127.0.0.1", &of_host(&newer)).await, Ok(()));
    let secret = std::fs::read_to_string(&files.key).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    assert!(!format!("{server:?}").contains(secret));
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_from_who_does() {
    let ca = Ca::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    });
    let why = asked(at, "127.0.0.1", &of_host(&ca)).await.unwrap_err();
    assert!(why.contains("is no TLS"), "{why}");
    let at = served(&https(ca.issues("x", Says::name(&["127.0.0.1"])))).await;
    let mut plain = TcpStream::connect(at).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "an alert at most: {answer:?}");
}
