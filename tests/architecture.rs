//! The arrows of the architecture: who may depend on whom, and where sockets, clocks and the protocol may not be.

use std::path::{Path, PathBuf};

/// Each package with those of this workspace that it may depend on.
const ARROWS: [(&str, &[&str]); 7] = [
    ("supervision", &[]),
    ("authority", &[]),
    ("grasp", &["supervision"]),
    ("framework", &["grasp", "supervision"]),
    ("asa-prefix", &["grasp", "asa-framework", "supervision"]),
    ("asa-gray-briggs", &["grasp", "asa-framework", "supervision"]),
    (".", &["supervision", "asa-authority", "grasp", "asa-framework", "asa-prefix", "asa-gray-briggs"]),
];
/// What a package may have besides for its tests: certificates to try TLS with.
const FOR_TESTS: [(&str, &str); 1] = [("grasp", "asa-authority")];
const OURS: [&str; 7] =
    ["supervision", "asa-authority", "grasp", "asa-framework", "asa-prefix", "asa-gray-briggs", "asa"];
const SOCKETS: [&str; 9] = [
    "std::net::Tcp",
    "std::net::Udp",
    "os::unix::net",
    "tokio::net",
    "socket2",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "TcpSocket",
];
/// The network; both ends of the control socket and the service manager's, which are files on this host and never leave it.
const SOCKET_PLACES: [&str; 4] = ["grasp/src/net", "framework/src/control", "framework/src/notify.rs", "src/control"];
/// What the network alone may have.
const NETWORK: [&str; 7] =
    ["std::net::Tcp", "std::net::Udp", "socket2", "TcpStream", "TcpListener", "UdpSocket", "TcpSocket"];
const CLOCKS: [&str; 5] = ["tokio", "actix", "Instant::now", "SystemTime::now", "std::thread"];
const PROTOCOL: [&str; 5] = ["Message", "SessionId", "session_id", "negotiate_step", "request_negotiate"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source below a directory with the code of each line: without comments, and up to its unit tests.
fn sources(below: &str) -> Vec<(PathBuf, Vec<String>)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), found));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    assert!(!found.is_empty(), "{below} has no sources");
    let code = |path: &PathBuf| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        lines.map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
    };
    found.into_iter().map(|path| (path.clone(), code(&path))).collect()
}

/// Every line in which one of the words stands, for the message of a failed test.
fn offences(sources: &[(PathBuf, Vec<String>)], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, lines) in sources {
        for (number, line) in lines.iter().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{}: {word} in {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    for (package, allowed) in ARROWS {
        let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if section.ends_with("dependencies]") && section != "[workspace.dependencies]" && OURS.contains(&name) {
                // A package may turn on a feature of itself for its own tests.
                let itself = line.contains("path = \".\"");
                let tested = section == "[dev-dependencies]" && FOR_TESTS.contains(&(package, name));
                assert!(itself || tested || allowed.contains(&name), "{package} depends on {name} in {section}");
            }
        }
    }
}

#[test]
fn sockets_are_in_the_network_only() {
    let all = ["src", "authority/src", "framework/src", "asa-prefix/src", "asa-gray-briggs/src", "grasp/src"]
        .map(sources)
        .concat();
    let within = |path: &Path, place: &str| path.starts_with(root().join(place));
    let (places, elsewhere): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(path, _)| SOCKET_PLACES.iter().any(|place| within(path, place)));
    assert_eq!(offences(&elsewhere, &SOCKETS), [""; 0]);
    let local: Vec<_> = places.into_iter().filter(|(path, _)| !within(path, SOCKET_PLACES[0])).collect();
    assert_eq!(offences(&local, &NETWORK), [""; 0]);
}

#[test]
fn cores_have_neither_clock_nor_actor() {
    let mut cores = ["grasp/src/wire", "grasp/src/protocol", "authority/src"].map(sources).concat();
    let roles = ["framework/src", "asa-prefix/src", "asa-gray-briggs/src"].map(sources).concat();
    let roles: Vec<_> = roles.into_iter().filter(|(path, _)| path.ends_with("core.rs")).collect();
    assert!(roles.len() >= 2, "the roles have lost their cores");
    cores.extend(roles);
    assert_eq!(offences(&cores, &CLOCKS), [""; 0]);
}

#[test]
fn the_agents_leave_the_protocol_to_others() {
    assert_eq!(offences(&sources("asa-gray-briggs/src"), &PROTOCOL), [""; 0]);
}
