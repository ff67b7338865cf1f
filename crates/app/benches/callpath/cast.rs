//! Everybody who takes part: the server that all calls end at, the floors, the gateways, the rivals.

use crate::children::Child;
use crate::load::{Form, Request};
use crate::rivals::Rival;
use crate::settings::Settings;
use crate::site::Site;
use crate::{nginx, rivals};
use anyhow::Context as _;
use std::path::PathBuf;

/// The processes that are running.
pub(crate) struct Cast {
    site: Site,
    upstream: Child,
    bare: Child,
    audited: Child,
    relaxed: Child,
    gateway: Child,
    strict: Child,
    nginx: Option<Child>,
    rivals: Vec<(Rival, Child)>,
    settings: Vec<(String, String)>,
}

/// One process that is called, in one way.
pub(crate) struct Target<'c> {
    name: String,
    pub(crate) child: &'c Child,
    pub(crate) request: Request,
}

impl Target<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Names that the report looks for.
pub(crate) const DIRECT: &str = "direct";
pub(crate) const BARE: &str = "bare proxy (floor)";
pub(crate) const AUDITED: &str = "audited floor, both records awaited";
pub(crate) const RELAXED: &str = "audited floor, second with next commit";
pub(crate) const GATEWAY: &str = "gateway, JWT";
pub(crate) const STRICT: &str = "gateway, JWT, answers before release";

impl Cast {
    /// Starts everybody.
    pub(crate) fn assemble(settings: &Settings) -> anyhow::Result<Self> {
        let site = Site::make()?;
        let upstream = Child::own(&["upstream"])?;
        let to = upstream.address.clone();
        let audited = |which: &str| {
            let file = site.path().join(which);
            Child::own(&["audited", which, &to, file.to_str().context("a path that is no text")?])
        };
        let mut cast = Self {
            bare: Child::own(&["pass-through", &to])?,
            audited: audited("both")?,
            relaxed: audited("first")?,
            gateway: site.gateway("next-commit", &to, &settings.under)?,
            strict: site.gateway("before-release", &to, &[])?,
            nginx: None,
            rivals: Vec::new(),
            settings: vec![(
                "threads".to_owned(),
                "load and server one each; floors and gateways as many workers as cores; those with \
                 records one more for the file"
                    .to_owned(),
            )],
            upstream,
            site,
        };
        cast.invite_nginx();
        cast.invite_rivals(settings)?;
        Ok(cast)
    }

    fn invite_nginx(&mut self) {
        let to = self.upstream.address.clone();
        let setting = match nginx::start(self.site.path(), &to) {
            Ok(child) => {
                self.nginx = Some(child);
                format!(
                    "{} worker processes, connections kept open, no access log",
                    nginx::workers()
                )
            }
            Err(why) => format!("not measured: {why:#}"),
        };
        self.settings.push(("nginx".to_owned(), setting));
    }

    fn invite_rivals(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Some(folder) = &settings.rivals else {
            let setting = "not measured: `--rivals` names no folder with a `rivals.list`";
            self.settings.push(("rivals".to_owned(), setting.to_owned()));
            return Ok(());
        };
        for rival in rivals::list(folder)?.into_iter().filter(|rival| settings.wants(&rival.name)) {
            let setting = if rival.is_installed() {
                match rival.start(self.site.path(), &self.upstream.address) {
                    Ok(child) => {
                        let told = (rival.name.clone(), rival.setting.clone());
                        self.settings.push(told);
                        self.rivals.push((rival, child));
                        continue;
                    }
                    Err(why) => format!("not measured: {why:#}"),
                }
            } else {
                format!("not measured: {}", rival.setting)
            };
            self.settings.push((rival.name, setting));
        }
        Ok(())
    }

    /// How each of them is set, or why it is not here.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting.as_str()))
    }

    /// A directory on the disk that the logs are on.
    pub(crate) fn directory(&self) -> PathBuf {
        self.site.path().to_owned()
    }

    /// Those that are to be measured, in the order of the table.
    pub(crate) fn targets(&self, settings: &Settings) -> Vec<Target<'_>> {
        let (key, token) = (Some(self.site.key.as_str()), Some(self.site.token.as_str()));
        let target = |name: &str, child, form, credential| Target {
            name: name.to_owned(),
            child,
            request: Request::new(&child.address, "/mcp", form, credential),
        };
        let mut targets = vec![target(DIRECT, &self.upstream, Form::Of2025, None)];
        let nginx = self.nginx.iter().map(|nginx| target("nginx", nginx, Form::Of2025, None));
        targets.extend(nginx);
        targets.extend([
            target(BARE, &self.bare, Form::Of2025, None),
            target(AUDITED, &self.audited, Form::Of2025, token),
            target(RELAXED, &self.relaxed, Form::Of2025, token),
            target(GATEWAY, &self.gateway, Form::Of2025, token),
            target("gateway, JWT, in a session", &self.gateway, Form::InSession, token),
            target("gateway, JWT, 2026-07-28", &self.gateway, Form::Of2026, token),
            target("gateway, API key", &self.gateway, Form::Of2025, key),
            target(STRICT, &self.strict, Form::Of2025, token),
        ]);
        targets.extend(self.rivals.iter().map(|(rival, child)| {
            let (path, token) = (&rival.path, rival.token.as_deref());
            let request = Request::new(&child.address, path, Form::InSession, token);
            Target {
                name: rival.name.clone(),
                child,
                request: request.calling(rival.tool.as_deref()),
            }
        }));
        targets.retain(|target| settings.wants(&target.name));
        targets
    }

    /// Ends everybody, then verifies what was recorded.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        let rivals = self.rivals.into_iter().map(|(_, rival)| rival);
        let others = [self.gateway, self.strict, self.audited, self.relaxed, self.bare];
        for child in others.into_iter().chain(self.nginx).chain(rivals).chain([self.upstream]) {
            child.end()?;
        }
        self.site.verify()
    }
}
