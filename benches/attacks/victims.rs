//! The two nodes that are attacked.

use super::domain::substrate;
use actix::System;
use grasp::net::kernel::Kernel;
use grasp::{Asa, AsaLocator, Grasp, Locator, Negotiated, NodeConfig, Objective, Registration, Value};
use std::time::{Duration, Instant};

fn objective() -> Objective {
    Objective::negotiation("32473:legitimate")
}

async fn node(kind: &str, directory: &str, name: &str) -> (Grasp, Asa) {
    let mut config = NodeConfig { name: name.into(), ..NodeConfig::default() };
    config.message_gap = Duration::ZERO;
    let grasp = Grasp::start(config, std::sync::Arc::new(Kernel::new()), substrate(kind, directory, name)).unwrap();
    let asa = grasp.register_asa(name).await.unwrap();
    asa.register_objective(&objective(), Registration::default()).await.unwrap();
    while grasp.status().await.unwrap().links.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (grasp, asa)
}

/// Accepts whatever is asked; says where.
pub(crate) fn serve(kind: &str, directory: &str) {
    System::new().block_on(async {
        let (grasp, asa) = node(kind, directory, "server").await;
        let status = grasp.status().await.unwrap();
        println!("ready {} {}", status.global.unwrap(), status.port);
        loop {
            let (session, _) = asa.listen_negotiate(&objective()).await.unwrap();
            actix::spawn(async move { session.end_negotiate(true, None).await });
        }
    });
}

/// Negotiates with the server all the time, and tells how often it has succeeded.
pub(crate) fn ask(kind: &str, directory: &str, at: &str) {
    System::new().block_on(async {
        let (_grasp, asa) = node(kind, directory, "client").await;
        let (address, port) = at.split_once(' ').unwrap();
        let peer = AsaLocator::known(Locator::tcp(address.parse().unwrap(), port.parse().unwrap()), 0);
        let asked = objective().with_value(Value::item(&100).unwrap());
        let (mut done, mut failed, mut told) = (0_u64, 0_u64, Instant::now());
        loop {
            match asa.request_negotiate(&asked, Some(&peer), Duration::from_secs(2)).await {
                Ok(Negotiated::Accepted(_)) => done += 1,
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    failed += 1;
                    eprintln!("failed: {error}");
                    assert!(failed < 10_000);
                }
            }
            if told.elapsed() >= Duration::from_millis(100) {
                println!("done {done}");
                told = Instant::now();
            }
        }
    });
}
