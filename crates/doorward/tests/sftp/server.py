"""An SFTP server with a password: address, port, folder, and what it does: files; stall: never answers a write;
full: refuses the second piece; none: has no SFTP."""

import asyncio
import sys

import asyncssh

address, port, folder, does = sys.argv[1:]


class Login(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == ("backup", "s3cret % +")


class Files(asyncssh.SFTPServer):
    def __init__(self, channel):
        super().__init__(channel, chroot=folder.encode())

    async def write(self, file, offset, data):
        if does == "stall":
            await asyncio.sleep(3600)
        if does == "full" and offset > 0:
            raise asyncssh.SFTPFailure("the disk is full")
        return super().write(file, offset, data)


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    with open(folder + "/host_key", "w") as file:
        file.write(key.get_fingerprint())
    await asyncssh.create_server(
        Login, address, int(port), server_host_keys=[key], sftp_factory=Files if does != "none" else None
    )
    await asyncio.Event().wait()


asyncio.run(main())
