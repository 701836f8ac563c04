//! `adit expose` from a machine that has joined.

use super::*;

/// A web server that answers everything with one word.
fn site() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let mut visitor = visitor.unwrap();
            thread::spawn(move || {
                let mut request = BufReader::new(visitor.try_clone().unwrap());
                let mut line = String::new();
                while request.read_line(&mut line).is_ok_and(|count| count > 2) {
                    line.clear();
                }
                let answer =
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
                visitor.write_all(answer.as_bytes()).ok();
            });
        }
    });
    port
}

/// What a visitor of a name gets.
fn visit(world: &World, host: &str) -> Result<String, String> {
    let mut visitor =
        TcpStream::connect(("127.0.0.1", world.http.number())).map_err(|it| it.to_string())?;
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    visitor
        .write_all(request.as_bytes())
        .map_err(|it| it.to_string())?;
    let mut answer = String::new();
    visitor
        .read_to_string(&mut answer)
        .map_err(|it| it.to_string())?;
    if answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello") {
        Ok(answer)
    } else {
        Err(answer)
    }
}

fn expose(command: &mut Command) -> Process {
    Process::spawn(command)
}

fn wait_for(process: &Process, text: &str) {
    wait::until(text, || {
        let printed = process.stdout();
        if printed.contains(text) {
            Ok(())
        } else {
            Err(format!("{printed}\n{}", process.stderr()))
        }
    });
}

#[test]
fn one_command_makes_a_service_a_site_and_shows_its_visitors() {
    let world = World::new();
    let gateway = world.start();
    let code = world.invite("red001", &["--name", "shop"]);
    assert!(world.join("first", &code).status.success());
    let port = site().to_string();
    let words = ["expose", port.as_str(), "--name", "shop", "--json"];
    let mut exposed = expose(world.on("first").args(words));
    let url = format!("http://shop.gw.test:{}/", world.http.number());
    wait_for(&exposed, &url);
    wait::until("a visitor is served", || visit(&world, "shop.gw.test"));
    wait_for(&exposed, "\"total\":1");
    // What the machine has told of itself.
    let shown = world.done(&["device", "show", "red001", "--json"]);
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(
        shown.contains(&version) && shown.contains("Linux"),
        "{shown}"
    );
    // The gateway comes back, and so does the site.
    drop(gateway);
    let _gateway = world.start();
    wait::until("a visitor is served again", || {
        visit(&world, "shop.gw.test")
    });
    exposed.signal(Signal::INT);
    assert_eq!(
        exposed.wait(wait::DEADLINE).code(),
        Some(130),
        "{}",
        exposed.stderr()
    );
}

/// The host of the one URL that was printed.
fn host(world: &World, process: &Process) -> String {
    wait_for(process, "http://");
    let printed = process.stdout();
    let port = world.http.number();
    let host = printed
        .trim_end()
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix(&format!(":{port}/")));
    String::from(host.expect("one URL is printed, and nothing else"))
}

#[test]
fn a_service_without_a_name_is_given_its_own_each_time() {
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &["--any-name"]);
    let joined = world.join("first", &code);
    let told = String::from_utf8_lossy(&joined.stdout).into_owned();
    assert!(
        told.contains("it may be given a name where it asks for none\n")
            && told.ends_with("try: adit expose 3000\n"),
        "{told}"
    );
    let services = [site(), site()].map(|port| port.to_string());
    let begin = |port: &String| {
        let words = ["expose", port, "--to", &world.address()];
        expose(world.on("first").args(words))
    };
    let end = |mut process: Process| {
        process.signal(Signal::TERM);
        let code = process.wait(wait::DEADLINE).code();
        assert_eq!(code, Some(0), "{}", process.stderr());
        // Its URL alone goes to standard output.
        assert_eq!(process.stdout().lines().count(), 1);
    };
    let exposed = services.each_ref().map(begin);
    let hosts = exposed.each_ref().map(|process| host(&world, process));
    assert_ne!(hosts[0], hosts[1]);
    for host in &hosts {
        assert!(host.ends_with(".gw.test"), "{host}");
        wait::until("a visitor is served", || visit(&world, host));
    }
    // What the gateway says of it is the same.
    let leases = world.done(&["lease", "list"]);
    for host in &hosts {
        assert!(leases.contains(host.as_str()), "{leases}");
    }
    exposed.into_iter().for_each(end);
    // The last comes first.
    for (port, before) in services.iter().zip(&hosts).rev() {
        let exposed = begin(port);
        assert_eq!(&host(&world, &exposed), before);
        end(exposed);
    }
}

#[test]
fn who_is_given_no_name_is_told_how_to_say_one() {
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &["--name", "shop", "--name", "web-*"]);
    let joined = world.join("first", &code);
    let told = String::from_utf8_lossy(&joined.stdout).into_owned();
    assert!(
        told.contains("its names are under gw.test\nit may have the names shop and web-*\n")
            && told.ends_with("--name shop\n"),
        "{told}"
    );
    let refused = world.on("first").args(["expose", "3000"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = said(&refused);
    assert!(
        told.contains("gives localhost:3000 no name")
            && told.contains("--name NAME")
            && told.contains("--any-name"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_is_told_and_ends_it() {
    let world = World::new();
    let nowhere = world
        .on("nobody")
        .args(["expose", "3000"])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(said(&nowhere).contains("adit join"), "{}", said(&nowhere));
    let _gateway = world.start();
    let code = world.invite("red001", &["--name", "shop"]);
    assert!(world.join("first", &code).status.success());
    let other = world
        .on("first")
        .args(["expose", "3000", "--name", "bank"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        said(&other).contains("the gateway refuses bank"),
        "{}",
        said(&other)
    );
    // Somebody else has the name already.
    let code = world.invite("red002", &["--name", "shop"]);
    assert!(world.join("second", &code).status.success());
    let port = site().to_string();
    let exposed = expose(world.on("first").args(["expose", &port, "--name", "shop"]));
    wait_for(&exposed, "http://shop");
    let taken = world
        .on("second")
        .args(["expose", "3000", "--name", "shop"])
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(said(&taken).contains("refuses shop"), "{}", said(&taken));
}

/// The gateway's name is enough for the other commands, too.
#[test]
fn a_forward_to_a_joined_gateway_needs_its_name_alone() {
    let world = World::new();
    let _gateway = world.start();
    let port = world.public.number();
    let code = world.invite(
        "red001",
        &["--ports", &port.to_string(), "--reach", "public"],
    );
    assert!(world.join("first", &code).status.success());
    let site = site();
    let forward = format!("{port}:127.0.0.1:{site}");
    let mut forwarding =
        Process::spawn(
            world
                .on("first")
                .args(["forward", "-R", &forward, "127.0.0.1"]),
        );
    forwarding.wait_for_text("forward up");
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
    visitor.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

/// An agent that has joined is told when a gateway that stops is back, and how its services do is told there.
#[test]
fn health_of_services_is_shown_and_a_stopping_gateway_says_when_to_come_back() {
    let world = World::new();
    let mut gateway = world.start();
    let port = world.public.number();
    let code = world.invite(
        "red001",
        &["--ports", &port.to_string(), "--reach", "public"],
    );
    assert!(world.join("first", &code).status.success());
    let nobody = Port::reserve();
    let file = world.folder.path().join("first/adit.yml");
    let text = format!(
        "tunnels:\n  web:\n    host: 127.0.0.1\n    forwards:\n      - remote: \"{port}:127.0.0.1:{}\"\n        check: tcp\n",
        nobody.number()
    );
    std::fs::write(&file, text).unwrap();
    let up = Process::spawn(world.on("first").arg("up").arg("-f").arg(&file));
    let shown = wait::until("the gateway was told", || {
        let shown = world.done(&["device", "show", "red001", "--json"]);
        if shown.contains("\"is_well\":false") {
            Ok(shown)
        } else {
            Err(format!("{shown}\n{}", up.stderr()))
        }
    });
    assert!(shown.contains(&port.to_string()), "{shown}");
    gateway.signal(Signal::TERM);
    gateway.wait(wait::DEADLINE);
    wait::until("the agent was told", || {
        let told = up.stderr();
        if told.contains("gateway asks to come back later") {
            Ok(())
        } else {
            Err(told)
        }
    });
}
