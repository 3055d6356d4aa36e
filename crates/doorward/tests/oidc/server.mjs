// A real OpenID Connect provider whose only person says yes to everything.
// Arguments: issuer, address, port, redirect URIs … With TLS_CERTIFICATE and TLS_KEY (PEM files) it speaks https.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import Provider from 'oidc-provider';

const [issuer, address, port, ...redirects] = process.argv.slice(2);

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'doorward',
    client_secret: 'a secret with % and +',
    redirect_uris: redirects,
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  pkce: { required: () => true, methods: ['S256'] },
  features: { devInteractions: { enabled: false } },
  claims: { openid: ['sub'], email: ['email'], profile: ['name', 'picture'] },
  cookies: { keys: ['a key of the tests'] },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  async findAccount(_ctx, id) {
    const claims = { sub: id, email: 'Guest.One@Example.com', name: 'Guest One', picture: 'https://example.com/1.png' };
    return { accountId: id, claims: async () => claims };
  },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  let result = { login: { accountId: 'guest-1' } };
  if (prompt.name === 'consent') {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  ctx.respond = false;
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
});

const { TLS_CERTIFICATE, TLS_KEY } = process.env;
const server = TLS_CERTIFICATE
  ? createServer({ cert: readFileSync(TLS_CERTIFICATE), key: readFileSync(TLS_KEY) }, provider.callback())
  : provider;
server.listen(Number(port), address, () => console.log('ready'));
