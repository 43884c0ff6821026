//! The async shell around the relay that both ingress servers share.
