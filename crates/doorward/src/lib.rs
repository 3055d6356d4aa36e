//! Doorward, the gateway: everything but the rules ([`doorward_policy`]) and the kernel ([`doorward_kernel`]).
