//! Lists in pages: tags and referrers (distribution-spec, end-8 and end-12).

use std::collections::HashSet;

use serde::Deserialize;

use super::{Ask, Client};
use crate::error::RemoteError;
use crate::oci::{Digest, Index, RepositoryName, Tag, from_json};
use crate::remote::auth::scope::Scope;
use crate::remote::http::{Answer, Method};
use crate::remote::url::Url;

/// The most bytes of a list.
const BYTES_LIMIT: u64 = 64 * 1024 * 1024;

/// The most entries of a list.
const ENTRIES_LIMIT: usize = 1_000_000;

/// The most pages of a list.
const PAGES_LIMIT: usize = 100_000;

#[derive(Deserialize)]
struct TagList {
    /// `null` for a repository without tags.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// Lists all tags of a repository, page by page (end-8); `None` if there is no such repository.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Answer`] for what is no list of tags, or one without end.
    pub(crate) fn tags(&self, repository: &RepositoryName, scope: &Scope) -> Result<Option<Vec<Tag>>, RemoteError> {
        let what = format!("the tags of {}/{repository}", self.shared.host);
        let (mut tags, mut seen) = (Vec::new(), HashSet::new());
        let found = self.pages(&format!("/v2/{repository}/tags/list"), &what, scope, |bytes| {
            let list: TagList =
                serde_json::from_slice(bytes).map_err(|_| self.odd(format!("sent something else than {what}")))?;
            for tag in list.tags.unwrap_or_default() {
                let tag: Tag = tag.parse().map_err(|_| self.odd(format!("sent a tag that is none in {what}")))?;
                if seen.insert(tag.clone()) {
                    tags.push(tag);
                }
            }
            if tags.len() > ENTRIES_LIMIT {
                return Err(self.odd(format!("sent more than {ENTRIES_LIMIT} entries as {what}")));
            }
            Ok(())
        })?;
        Ok(found.then_some(tags))
    }

    /// Lists the referrers of a manifest (end-12a); `None` if the registry has no such list.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Answer`] for what is no index, or one without end.
    pub(crate) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        scope: &Scope,
    ) -> Result<Option<Index>, RemoteError> {
        let what = format!("the referrers of {subject}");
        let mut all: Option<Index> = None;
        let found = self.pages(&format!("/v2/{repository}/referrers/{subject}"), &what, scope, |bytes| {
            let page: Index = from_json(bytes).map_err(|_| self.odd(format!("sent something else than {what}")))?;
            match &mut all {
                Some(all) => all.manifests.extend(page.manifests),
                None => all = Some(page),
            }
            if all.as_ref().is_some_and(|all| all.manifests.len() > ENTRIES_LIMIT) {
                return Err(self.odd(format!("sent more than {ENTRIES_LIMIT} entries as {what}")));
            }
            Ok(())
        })?;
        Ok(if found { all } else { None })
    }

    /// Reads a list page by page. Returns whether there is one.
    fn pages(
        &self,
        path: &str,
        what: &str,
        scope: &Scope,
        mut read: impl FnMut(&[u8]) -> Result<(), RemoteError>,
    ) -> Result<bool, RemoteError> {
        let mut url = self.url(path);
        let mut left = BYTES_LIMIT;
        let mut asked = HashSet::from([url.as_request()]);
        for page in 0..PAGES_LIMIT {
            let ask = Ask::new(Method::Get, url.clone(), scope);
            let mut tries = self.tries();
            let (next, bytes) = loop {
                let answer = self.ask(&ask, &[], &mut tries)?;
                match answer.status {
                    200 => {}
                    // A registry without the list answers in many ways.
                    400 | 404 | 405 | 406 | 501 if page == 0 => return Ok(false),
                    _ => return Err(self.refusal(answer, Method::Get)),
                }
                let next = self.next_page(&answer)?;
                let url = answer.url.clone();
                match answer.bytes(left) {
                    Ok(Some(bytes)) => break (next, bytes),
                    Ok(None) => return Err(self.odd(format!("sent more than 64 MiB as {what}"))),
                    Err(error) => self.pause(&mut tries, self.broken(&url, error))?,
                }
            };
            left -= bytes.len() as u64;
            read(&bytes)?;
            match next {
                None => return Ok(true),
                Some(next) if !asked.insert(next.as_request()) => {
                    return Err(self.odd(format!("sent the same page again of {what}")));
                }
                Some(next) => url = next,
            }
        }
        Err(self.odd(format!("sent more than {PAGES_LIMIT} pages as {what}")))
    }

    /// Returns the URL of the next page, which must be at the same host (RFC 8288).
    fn next_page(&self, answer: &Answer) -> Result<Option<Url>, RemoteError> {
        let Some(target) = answer.all("link").flat_map(links).find_map(next_target) else {
            return Ok(None);
        };
        let url = self.guard().location(&answer.url, target)?;
        if url.origin != answer.url.origin {
            return Err(RemoteError::Redirect {
                host: self.shared.host.to_string(),
                url: self.shared.secrets.redact(&url.to_string()).into_owned(),
                reason: "the next page must be at the same host".to_owned(),
            });
        }
        Ok(Some(url))
    }
}

/// Splits a header of several links: at commas before the next target (RFC 8288, 3).
fn links(header: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(header);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let end = text.char_indices().find(|(at, c)| *c == ',' && text[at + 1..].trim_start().starts_with('<'));
        let (link, after) = end.map_or((text, None), |(at, _)| (&text[..at], Some(&text[at + 1..])));
        rest = after;
        Some(link)
    })
}

/// Returns the target of a link to the next page.
fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        parameter.trim().split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        })
    });
    is_next.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page_are_found() {
        for (link, expected) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=2")),
            ("</x>;rel=next", Some("/x")),
            ("</x>; title=\"a\"; Rel=\"Next\"", Some("/x")),
            ("</x>; rel=\"prev\"", None),
            ("/x; rel=next", None),
            ("</x>", None),
        ] {
            assert_eq!(next_target(link), expected, "{link}");
        }
    }
}
