import react from '@vitejs/plugin-react';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { loadEnv, readSettings } from './settings.js';

// What pageConfig puts in is all that the page gets to know of the environment.
export function pageConfig({ local, endpoint, resource, clientId, api, ports }) {
  return {
    root: fileURLToPath(new URL('web', import.meta.url)),
    plugins: [react()],
    define: { __SETTINGS__: JSON.stringify({ local, endpoint, resource, clientId, api }) },
    // The redirect URI names the port, so another one won't do.
    server: { host: '127.0.0.1', port: ports.page, strictPort: true },
    preview: { host: '127.0.0.1', port: ports.page, strictPort: true },
    // Known from the start: a dependency that is found later reloads the page.
    optimizeDeps: { include: ['@logto/react', 'react', 'react-dom/client', 'react-router', 'react/jsx-dev-runtime'] },
    build: { outDir: '../dist', emptyOutDir: true },
    envDir: false, // Vite reads no .env by itself
  };
}

export default defineConfig(() => pageConfig(readSettings(loadEnv())));
