//! The free blocks of a pool.
