//! The GRASP protocol (RFC 8990) and its API (RFC 8991) as actors around pure cores.
