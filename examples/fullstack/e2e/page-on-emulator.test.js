process.env.ENGINE = 'emulator';
await import('./page.js');
