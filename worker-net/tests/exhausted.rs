//! A process that has run out of file descriptors accepts again when there are some. Alone in its process, as it takes them all.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use worker_net::{Listener, Settings};

#[tokio::test]
async fn accepting_survives_too_many_open_files() {
    let listener = Listener::bind("127.0.0.1:0", Settings::default()).await.unwrap();
    let client = TcpStream::connect(listener.address().unwrap()).await.unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!hoard.is_empty());

    let early = timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(early.is_err(), "accepted without a file descriptor");
    drop(hoard);
    let incoming = timeout(Duration::from_secs(60), listener.accept()).await.expect("accepts again");
    assert_eq!(incoming.peer(), client.local_addr().unwrap());
}
