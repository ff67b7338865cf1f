//! Born in the next commit.
