//! A headless Chromium, driven over the W3C WebDriver protocol.

use super::scratch::{Scratch, eventually, free_port};
use super::worker::Running;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the browser may take to start, or to show what it is waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time: several at once are slower than one after the other.
static ONE: Mutex<()> = Mutex::new(());

/// A headless browser with one window. It ends, with all its processes, when dropped.
#[derive(Debug)]
pub struct Browser<'a> {
    port: u16,
    session: String,
    _driver: Running<'a>,
    _alone: MutexGuard<'static, ()>,
}

impl<'a> Browser<'a> {
    /// Starts one whose files are in the scratch directory.
    pub fn start(scratch: &'a Scratch) -> Self {
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (chromium, driver) = (program("chromium"), program("chromedriver"));
        let port = free_port();
        let mut start = scratch.program(&driver);
        start.command.arg(format!("--port={port}"));
        let home = scratch.path("browser");
        std::fs::create_dir_all(&home).expect("a directory in the scratch directory");
        let home = home.to_string_lossy().into_owned();
        // Its profile and sockets are removed with the scratch directory.
        let driver = start.env("HOME", &home).env("TMPDIR", &home).start();
        let mut browser = Self { port, session: String::new(), _driver: driver, _alone: alone };
        eventually("chromedriver answers", PATIENCE, || browser.send("GET", "/status", None));
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1440,900",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": args},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = browser.ask("POST", "/session", Some(&wanted));
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) {
        self.command("url", &json!({"url": url}));
    }

    /// What a script returns.
    pub fn js(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text of the first element that a selector finds; empty if there is none.
    pub fn text(&self, css: &str) -> String {
        let script = format!("const e = document.querySelector({}); return e ? e.innerText : ''", json!(css));
        self.js(&script).as_str().unwrap_or_default().replace(['\u{a0}', '\u{202f}'], " ")
    }

    /// Waits until a script returns true.
    pub fn until(&self, what: &str, script: &str) {
        eventually(what, PATIENCE, || {
            if self.js(script) == json!(true) { Ok(()) } else { Err(self.text("body")) }
        });
    }

    /// Waits until the text of an element holds this.
    pub fn until_text(&self, css: &str, part: &str) {
        eventually(&format!("{css} says {part:?}"), PATIENCE, || {
            let text = self.text(css);
            if text.contains(part) { Ok(()) } else { Err(format!("it says {text:?}")) }
        });
    }

    /// Clicks, as with a mouse.
    pub fn click(&self, css: &str) {
        let element = self.element(css);
        self.command(&format!("element/{element}/click"), &json!({}));
    }

    /// Types into a field.
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.command(&format!("element/{element}/value"), &json!({"text": text}));
    }

    /// Presses and releases a key, wherever the focus is.
    pub fn press(&self, key: char) {
        let actions = [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        self.command("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// Presses Tab until what has the focus matches a selector.
    pub fn tab_to(&self, css: &str) {
        let script = format!("return document.activeElement.matches({})", json!(css));
        for _ in 0..80 {
            self.press(Keys::TAB);
            if self.js(&script) == json!(true) {
                return;
            }
        }
        panic!(
            "80 times Tab does not lead to {css}; the focus is on {}",
            self.js("return document.activeElement.outerHTML")
        );
    }

    /// Makes the page as wide as that many pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command(
            "goog/cdp/execute",
            &json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size}),
        );
    }

    /// What the console has said: level and message.
    pub fn console(&self) -> Vec<(String, String)> {
        let of = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        self.log("browser").iter().map(|entry| (of(entry, "level"), of(entry, "message"))).collect()
    }

    /// Every address that was asked for.
    pub fn requests(&self) -> Vec<String> {
        let messages = self.log("performance");
        let sent = messages.iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let url = message["params"]["request"]["url"].as_str()?;
            (message["method"] == "Network.requestWillBeSent").then(|| url.to_owned())
        });
        sent.collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.command("se/log", &json!({"type": kind})).as_array().cloned().unwrap_or_default()
    }

    fn element(&self, css: &str) -> String {
        let found = self.command("element", &json!({"using": "css selector", "value": css}));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{name}", self.session), Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.send(method, path, body).unwrap_or_else(|why| panic!("{method} {path} {body:?}: {why}"))
    }

    /// One request, and the value of its answer.
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map_or_else(String::new, Value::to_string);
        let text = exchange(self.port, method, path, &body).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].take()),
        }
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            exchange(self.port, "DELETE", &format!("/session/{}", self.session), "").ok();
        }
    }
}

/// Keys as the protocol names them.
#[derive(Clone, Copy, Debug)]
pub struct Keys;

impl Keys {
    /// Tab.
    pub const TAB: char = '\u{e004}';
    /// Enter.
    pub const ENTER: char = '\u{e007}';
    /// Escape.
    pub const ESCAPE: char = '\u{e00c}';
    /// Right.
    pub const RIGHT: char = '\u{e014}';
}

fn exchange(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    let head = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    (&stream).write_all(head.as_bytes())?;
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    String::from_utf8(text).map_err(std::io::Error::other)
}

/// Where a program is.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| Path::is_file(file));
    found.unwrap_or_else(|| {
        panic!(
            "{name} is not installed, and the page is tested in a browser: install the packages chromium and chromium-driver \
             (as root, test.sh does it)"
        )
    })
}
