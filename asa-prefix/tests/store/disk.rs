//! Disks that are full, or protected: the store says so, loses nothing, and works again when the disk does (PM-S-19).
