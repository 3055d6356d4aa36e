//! Many netlink requests at once. nlink sends one and waits for its answer; thousands of classes and tracked connections
//! need better.

use std::{collections::BTreeMap, time::Duration};

use nlink::netlink::{MessageBuilder, MessageIter, NetlinkSocket, Protocol, message::NlMsgError};

/// Requests under way at once: their answers fit into the socket's receive buffer.
const WINDOW: usize = 128;

/// The kernel answers within the call; a longer wait means that the answer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that keeps many requests under way.
pub(crate) struct Requests {
    socket: NetlinkSocket,
}

impl Requests {
    pub(crate) fn open(protocol: Protocol) -> Result<Self, nlink::Error> {
        Ok(Self { socket: NetlinkSocket::new(protocol)? })
    }

    /// The netlink port from which the requests come.
    pub(crate) fn port(&self) -> u32 {
        self.socket.pid()
    }

    /// Sends requests (with `NLM_F_ACK` set) in order: one result for each. The kernel carries out each by itself.
    pub(crate) async fn send(&self, requests: Vec<MessageBuilder>) -> Vec<Result<(), nlink::Error>> {
        let mut results = Vec::with_capacity(requests.len());
        let mut waiting = requests.into_iter().peekable();
        while waiting.peek().is_some() {
            let window: Vec<MessageBuilder> = waiting.by_ref().take(WINDOW).collect();
            results.extend(self.send_window(window).await);
        }
        results
    }

    /// Sends a request (with `NLM_F_DUMP` set) and hands over the body of each message of the answer.
    pub(crate) async fn dump(
        &self,
        mut request: MessageBuilder,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), nlink::Error> {
        let seq = self.socket.next_seq();
        request.set_seq(seq);
        request.set_pid(self.socket.pid());
        self.socket.send(&request.finish()).await?;
        let read = async {
            loop {
                let data = self.socket.recv_unicast().await?;
                for message in MessageIter::new(&data) {
                    let (header, payload) = message?;
                    if header.nlmsg_seq != seq {
                        continue;
                    }
                    if header.is_error() {
                        let answer = NlMsgError::from_bytes(payload)?;
                        return Err(answer.to_error(header.nlmsg_flags, payload));
                    }
                    if header.is_done() {
                        return Ok(());
                    }
                    each(payload);
                }
            }
        };
        let late = |_| nlink::Error::invalid_message("no answer within 10 s");
        tokio::time::timeout(PATIENCE, read).await.map_err(late)?
    }

    async fn send_window(&self, window: Vec<MessageBuilder>) -> Vec<Result<(), nlink::Error>> {
        let count = window.len();
        let mut bytes = Vec::new();
        let mut places = BTreeMap::new();
        for (place, mut request) in window.into_iter().enumerate() {
            let seq = self.socket.next_seq();
            request.set_seq(seq);
            request.set_pid(self.socket.pid());
            places.insert(seq, place);
            bytes.extend_from_slice(&request.finish());
        }
        let mut answers: Vec<Option<Result<(), nlink::Error>>> = (0..count).map(|_| None).collect();
        let lost = match self.socket.send(&bytes).await {
            Ok(()) => match tokio::time::timeout(PATIENCE, self.receive(&mut places, &mut answers)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer within 10 s".to_owned()),
            },
            Err(error) => Some(error.to_string()),
        };
        let unanswered = || Err(nlink::Error::invalid_message(lost.clone().unwrap_or_default()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }

    async fn receive(
        &self,
        places: &mut BTreeMap<u32, usize>,
        answers: &mut [Option<Result<(), nlink::Error>>],
    ) -> Result<(), nlink::Error> {
        while !places.is_empty() {
            let data = self.socket.recv_unicast().await?;
            for message in MessageIter::new(&data) {
                let (header, payload) = message?;
                let Some(place) = places.get(&header.nlmsg_seq).copied() else { continue };
                if !header.is_error() {
                    continue;
                }
                let answer = NlMsgError::from_bytes(payload)?;
                places.remove(&header.nlmsg_seq);
                if let Some(slot) = answers.get_mut(place) {
                    *slot =
                        Some(if answer.is_ack() { Ok(()) } else { Err(answer.to_error(header.nlmsg_flags, payload)) });
                }
            }
        }
        Ok(())
    }
}
