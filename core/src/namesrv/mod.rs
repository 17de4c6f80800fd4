//! The namesrv room.
