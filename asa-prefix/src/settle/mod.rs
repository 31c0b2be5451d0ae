//! What nodes of this kind say to each other beyond RFC 8992: how a negotiation has ended, and that a block comes back.
//!
//! Two negotiated objectives with private names (RFC 8990 section 2.10.1), by default `example.org:asa-prefix:settle` and
//! `example.org:asa-prefix:return`. Programs of other makers never see them: they do not listen for these names.
//!
//! # settle
//!
//! GRASP has no transactions, and nobody acknowledges M_END. So after a crash or a lost message one side, or both, may not
//! know whether a block has changed hands. Both know the session id of that negotiation and the block.
//!
//! | Who asks | Request | Answer | Then |
//! |---|---|---|---|
//! | the taker, in doubt | `["took", S, V, L, b]` | `["moved", S, V, L, b]`: the provider has granted it | the taker owns it |
//! | | | `["kept", S, V, L, b]`: the provider has not, or does not know | the taker lets go of it and accepts; then the provider frees it |
//! | the provider, in doubt | `["gave", S, V, L, b]` | `["moved", ...]`: the taker has it | it is granted |
//! | | | `["kept", ...]`: the taker does not have it, and never will from that session | it is free |
//!
//! `S` is the session id, `V` 6 or 4, `L` the prefix length and `b` the address in 16 or 4 bytes. M_END with a decline means:
//! this node does not know that negotiation (`unknown`), or it is still going on (`open`): ask again. Each side writes down
//! what it is going to say before it says it, and what it has heard before it accepts it. Everything may be said again.
//!
//! Only the node at the address that the negotiation was with is asked, and only it is answered: nobody else's word counts.
//!
//! # return
//!
//! The giver takes a block out of use, then requests with `["return", S, V, L, b]`, where `S` is the session in which it
//! was granted. The provider frees it and accepts; the giver forgets it. Said again, it is accepted again.

mod answerer;
mod correspondent;
mod message;
mod surplus;

pub use answerer::AnswerStrategy;
pub use correspondent::{Correspondent, CorrespondentArgs, CorrespondentPlan};
pub use message::{Message, MessageError, Verb};
