//! The systemd unit: what must stand in it, and what systemd says about it where systemd is installed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it skips")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// The most that systemd may rate the exposure of the service, from 0 (none) to 10.
const EXPOSURE: f64 = 3.0;

fn unit() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/asa.service")).unwrap()
}

/// The lines that set something, with their section and the line above.
fn settings(unit: &str) -> Vec<(String, String, String)> {
    let (mut section, mut above, mut settings) = (String::new(), "", Vec::new());
    for line in unit.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            settings.push((format!("{section}.{key}"), value.to_owned(), above.to_owned()));
        }
        above = line;
    }
    settings
}

#[test]
fn the_unit_is_watched_restarted_and_without_privileges() {
    let unit = unit();
    let settings = settings(&unit);
    for expected in [
        "Unit.StartLimitIntervalSec=600",
        "Unit.StartLimitBurst=5",
        "Service.Type=notify",
        "Service.ExecStart=/usr/bin/asa run /etc/asa/asa.d",
        "Service.ExecReload=/usr/bin/asa reload",
        "Service.WatchdogSec=30",
        "Service.Restart=on-failure",
        "Service.RestartSec=5",
        "Service.RestartPreventExitStatus=2",
        "Service.DynamicUser=yes",
        "Service.CapabilityBoundingSet=",
        "Service.AmbientCapabilities=",
        "Service.NoNewPrivileges=yes",
        "Service.StateDirectory=asa",
        "Service.RuntimeDirectory=asa",
        "Service.RuntimeDirectoryMode=0700",
        "Service.ProtectSystem=strict",
        "Service.PrivateTmp=yes",
        "Service.RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "Service.SystemCallFilter=@system-service",
        "Service.MemoryDenyWriteExecute=yes",
        "Service.LimitNOFILE=32768",
        "Install.WantedBy=multi-user.target",
    ] {
        let found = settings.iter().any(|(key, value, _)| format!("{key}={value}") == expected);
        assert!(found, "config/asa.service lacks {expected}");
    }
    // No code 70, at which the supervisor gives up, among those after which there is no restart.
    assert!(!settings.iter().any(|(key, value, _)| key.ends_with("PreventExitStatus") && value.contains("70")));
}

#[test]
fn every_setting_of_the_service_has_its_reason() {
    // Settings that stand together share the comment above the first.
    for (key, _, above) in settings(&unit()).iter().filter(|(key, ..)| key.starts_with("Service.")) {
        assert!(above.starts_with("# ") || above.contains('='), "{key} has no reason above it");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    // The command is not installed where this runs; anything that can be run stands for it.
    let Some(output) = analyze("verify", &["verify"]) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn systemd_rates_the_exposure_below_three() {
    let Some(output) = analyze("security", &["security", "--offline=true", "--no-pager"]) else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rated = text.split("Overall exposure level for").nth(1).and_then(|rest| rest.split(": ").nth(1));
    let rated = rated.and_then(|rest| rest.split(' ').next()).and_then(|number| number.parse::<f64>().ok());
    assert!(rated.is_some_and(|rated| rated < EXPOSURE), "{rated:?} in {text}{output:?}");
}

/// Runs `systemd-analyze` on a copy of the unit; `None`, and a line that says so, where it is not installed.
fn analyze(name: &str, arguments: &[&str]) -> Option<Output> {
    let directory = Removed(std::env::temp_dir().join(format!("asa-unit-{name}-{}", std::process::id())));
    std::fs::create_dir_all(&directory.0).unwrap();
    let copy = directory.0.join("asa.service");
    std::fs::write(&copy, unit().replace("/usr/bin/asa", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").args(arguments).arg(&copy).env("LC_ALL", "C").output();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: systemd-analyze is not installed");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
