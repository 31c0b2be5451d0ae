//! The flooder's core: when it floods.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::machine::{Machine, Time};
use asa_framework::roles::Control;
use asa_framework::roles::flooder::{FlooderCore, Input as FlooderInput, Output as FlooderOutput, Plan};
use std::time::Duration;

const START: Time = Time(Duration::ZERO);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn drain<M: Machine>(core: &mut M) -> Vec<M::Output> {
    std::iter::from_fn(|| core.poll()).collect()
}

fn flooder(period: Option<u64>, serve: bool) -> FlooderCore {
    let mut core = FlooderCore::new(Plan::new(period.map(secs), serve));
    core.handle(START, FlooderInput::Started);
    core
}

/// ASA-L-08: nothing is flooded while deactivated, also after a flood that fails late; activation floods at once.
#[test]
fn a_deactivated_flooder_is_silent() {
    let mut core = flooder(Some(60), true);
    drain(&mut core);
    core.handle(START, FlooderInput::Control(Control::Deactivate));
    core.handle(START, FlooderInput::Sent { ok: false });
    assert_eq!((core.deadline(), drain(&mut core)), (None, vec![]));
    core.handle(START + secs(5), FlooderInput::Control(Control::Activate));
    assert_eq!(drain(&mut core), [FlooderOutput::Serve, FlooderOutput::Flood(210_000)]);
    assert_eq!(core.deadline(), Some(START + secs(65)));
}
