//! Gray and Briggs: the two demonstration negotiators.
