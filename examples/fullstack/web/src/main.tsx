import type { LogtoConfig } from '@logto/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { BrowserRouter, Route, Routes } from 'react-router';
import { Callback } from './callback';
import { Home } from './home';
import { Layout } from './layout';
import { Protected } from './protected';
import { SessionProvider } from './session';
import { settings } from './settings';
import './style.css';

const config: LogtoConfig = {
  endpoint: settings.endpoint,
  appId: settings.clientId,
  // Without the resource here, getAccessToken gives an opaque token, which no
  // API can check by itself.
  resources: [settings.resource],
  // Asking for a scope is not having it: Logto drops what the user's roles don't
  // grant, and says nothing.
  scopes: ['read:reports'],
};

// A page that the browser has kept for its Back button knows nothing of a
// sign-out since.
window.addEventListener('pageshow', (event) => {
  if (event.persisted) window.location.reload();
});

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');

createRoot(root).render(
  <StrictMode>
    <SessionProvider config={config}>
      <BrowserRouter>
        <Routes>
          <Route element={<Layout />}>
            <Route index element={<Home />} />
            <Route path="callback" element={<Callback />} />
            <Route path="protected" element={<Protected />} />
            <Route path="*" element={<Home />} />
          </Route>
        </Routes>
      </BrowserRouter>
    </SessionProvider>
  </StrictMode>,
);
