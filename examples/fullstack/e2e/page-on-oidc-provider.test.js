process.env.ENGINE = 'oidc-provider';
await import('./page.js');
