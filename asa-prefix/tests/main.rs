//! What prefix management guarantees, by subject.

mod need;
mod params;
mod plausible;
mod wire;
