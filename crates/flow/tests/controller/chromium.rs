//! Debian's Chromium without a window, driven by its own protocol (Chrome DevTools Protocol).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use adit_testkit::process::Process;
use adit_testkit::wait::{self, DEADLINE};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// A browser with one tab; dropping it ends it.
pub(crate) struct Browser {
    socket: WebSocketStream<TcpStream>,
    session: Value,
    last: u64,
    _process: Process,
    _profile: TempDir,
}

/// What a page must never see: what its policy forbids, and errors that nobody takes.
const WATCH: &str = "
    window.problems = [];
    addEventListener('securitypolicyviolation', (e) => problems.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
    addEventListener('error', (e) => problems.push(`error: ${e.message}`));
    addEventListener('unhandledrejection', (e) => problems.push(`rejection: ${e.reason}`));
";

impl Browser {
    /// Starts one that likes `language` best.
    pub(crate) async fn start(program: &Path, language: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--mute-audio"])
            .args(["--disable-background-networking", "--disable-sync"])
            .args(["--remote-debugging-port=0", "--window-size=1100,900"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank");
        let process = Process::spawn(&mut command);
        let file = profile.path().join("DevToolsActivePort");
        let minute = Duration::from_secs(60);
        let told = wait::until_async_within(minute, "Chromium says its port", || async {
            let told = std::fs::read_to_string(&file).unwrap_or_default();
            if told.lines().count() >= 2 {
                Ok(told)
            } else {
                Err(told)
            }
        })
        .await;
        let mut told = told.lines();
        let at = format!("127.0.0.1:{}", told.next().unwrap());
        let url = format!("ws://{at}{}", told.next().unwrap());
        let stream = TcpStream::connect(at).await.unwrap();
        let (socket, _) = client_async_with_config(url, stream, None).await.unwrap();
        let mut browser = Self {
            socket,
            session: Value::Null,
            last: 0,
            _process: process,
            _profile: profile,
        };
        let target = json!({"url": "about:blank"});
        let target = browser.call("Target.createTarget", target).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach).await;
        browser.session = session["sessionId"].clone();
        browser.call("Page.enable", json!({})).await;
        let source = json!({ "source": WATCH });
        browser
            .call("Page.addScriptToEvaluateOnNewDocument", source)
            .await;
        let agent = browser.evaluate("navigator.userAgent").await;
        let agent = json!({"userAgent": agent, "acceptLanguage": language});
        browser.call("Emulation.setUserAgentOverride", agent).await;
        browser
    }

    /// Calls a method of the protocol.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let mut call = json!({"id": id, "method": method, "params": params});
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.socket
            .send(Message::text(call.to_string()))
            .await
            .unwrap();
        loop {
            let message = timeout(DEADLINE, self.socket.next()).await.expect(method);
            let Message::Text(text) = message.unwrap().unwrap() else {
                continue;
            };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    pub(crate) async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        self.until("document.readyState === 'complete'").await;
    }

    /// What an expression comes to; promises are awaited.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let mut done = self.call("Runtime.evaluate", params).await;
        assert!(done["exceptionDetails"].is_null(), "{expression}: {done}");
        done["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&mut self, expression: &str) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let safe = format!(
            "(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"
        );
        while self.evaluate(&safe).await != json!(true) {
            if tokio::time::Instant::now() > deadline {
                let seen = self.evaluate("document.body.innerText").await;
                panic!("waited for {expression}; seen last: {seen}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types into what has the focus.
    pub(crate) async fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key and lets it go.
    pub(crate) async fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Space" => (32, " "),
            other => panic!("{other}"),
        };
        let name = if key == "Space" { " " } else { key };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": name, "code": key, "text": text, "windowsVirtualKeyCode": code,
            });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Puts a file into a file field.
    pub(crate) async fn choose(&mut self, selector: &str, file: &Path) {
        let document = self.call("DOM.getDocument", json!({})).await;
        let find = json!({"nodeId": document["root"]["nodeId"], "selector": selector});
        let node = self.call("DOM.querySelector", find).await;
        let files = json!({"nodeId": node["nodeId"], "files": [file]});
        self.call("DOM.setFileInputFiles", files).await;
    }

    /// Makes the window as wide as a telephone.
    pub(crate) async fn shrink(&mut self) {
        let size = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Asks for the dark colours.
    pub(crate) async fn darken(&mut self) {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        self.call("Emulation.setEmulatedMedia", feature).await;
    }

    /// Keeps a picture of the whole page, where `ADIT_PICTURES` names a folder for people to look into.
    pub(crate) async fn picture(&mut self, name: &str) {
        use base64ct::{Base64, Encoding as _};

        let Some(folder) = std::env::var_os("ADIT_PICTURES") else {
            return;
        };
        let options = json!({"captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", options).await;
        let picture = Base64::decode_vec(picture["data"].as_str().unwrap()).unwrap();
        let file = Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(file, picture).unwrap();
    }

    /// Checks that the page did nothing that its policy forbids, and lost no error.
    pub(crate) async fn check(&mut self) {
        let problems = self.evaluate("window.problems.join('\\n')").await;
        assert_eq!(problems, json!(""));
    }
}
