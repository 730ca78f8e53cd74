//! The post: answers on their way from the core to the threads of the network.
//!
//! In: answers of the core's turn, each with its recipient. Out: the same, on the recipient's
//! thread. Invariants: a thread is woken once for all that a turn of the core has for it; answers
//! to one connection arrive in the order in which they were put; what is put and not sent is lost
//! with the post, as the answers of a node that ends are.

use tokio::sync::{mpsc, oneshot};

use super::event::Answer;

/// Who waits for an answer: a task on one of the network's threads.
#[derive(Debug)]
pub(super) struct Recipient {
    /// Which of the threads.
    pub(super) thread: usize,
    /// Closed when the connection is.
    pub(super) sender: oneshot::Sender<Answer>,
}

#[derive(Debug)]
struct Letter {
    to: oneshot::Sender<Answer>,
    answer: Answer,
}

/// What the core has for one thread.
#[derive(Debug)]
struct Mailbag {
    letters: Vec<Letter>,
    thread: mpsc::UnboundedSender<Vec<Letter>>,
}

/// The core's end of the post.
#[derive(Debug)]
pub(super) struct Post {
    mailbags: Vec<Mailbag>,
}

/// A thread's end of the post.
#[derive(Debug)]
pub(super) struct Postman(mpsc::UnboundedReceiver<Vec<Letter>>);

impl Post {
    /// The post of so many threads, and a postman for each of them.
    pub(super) fn open(threads: usize) -> (Self, Vec<Postman>) {
        let open = |_| {
            let (thread, arriving) = mpsc::unbounded_channel();
            let letters = Vec::new();
            (Mailbag { letters, thread }, Postman(arriving))
        };
        let (mailbags, postmen) = (0..threads).map(open).unzip();
        (Self { mailbags }, postmen)
    }

    /// Takes an answer, to be sent with [`Self::send`].
    pub(super) fn put(&mut self, to: Recipient, answer: Answer) {
        if let Some(mailbag) = self.mailbags.get_mut(to.thread) {
            let to = to.sender;
            mailbag.letters.push(Letter { to, answer });
        }
    }

    /// Sends what was put.
    pub(super) fn send(&mut self) {
        for mailbag in &mut self.mailbags {
            if !mailbag.letters.is_empty() {
                // A thread that has ended has no recipients any more.
                let _ = mailbag.thread.send(std::mem::take(&mut mailbag.letters));
            }
        }
    }
}

impl Postman {
    /// Delivers on the thread that this runs on, until the post is closed.
    pub(super) async fn deliver(mut self) {
        while let Some(letters) = self.0.recv().await {
            for Letter { to, answer } in letters {
                // Nobody waits any more if the connection has ended.
                let _ = to.send(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(thread: usize) -> (Recipient, oneshot::Receiver<Answer>) {
        let (sender, answer) = oneshot::channel();
        (Recipient { thread, sender }, answer)
    }

    #[test]
    fn a_turn_is_one_delivery_for_each_thread_that_it_answers() {
        let (mut post, mut postmen) = Post::open(2);
        let (recipients, _answers): (Vec<_>, Vec<_>) = [0, 0, 1].map(recipient).into_iter().unzip();
        for to in recipients {
            post.put(to, Answer::Nothing);
        }
        let waiting = |postmen: &[Postman]| [0, 1].map(|thread: usize| postmen[thread].0.len());
        assert_eq!(waiting(&postmen), [0, 0], "nothing is sent yet");
        post.send();
        post.send();
        assert_eq!(waiting(&postmen), [1, 1]);
        let first = postmen[0].0.try_recv().map(|letters| letters.len());
        assert_eq!(first, Ok(2));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_put_is_delivered_though_one_recipient_has_left() {
        let (mut post, postmen) = Post::open(1);
        let (gone, left) = recipient(0);
        let (waits, answer) = recipient(0);
        drop(left);
        post.put(gone, Answer::Nothing);
        post.put(waits, Answer::Close("why".to_owned()));
        post.send();
        drop(post);
        for postman in postmen {
            postman.deliver().await;
        }
        assert!(matches!(answer.await, Ok(Answer::Close(reason)) if reason == "why"));
    }
}
