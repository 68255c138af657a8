// The lines of examples/encore's README, as they stand there, in the least page
// around them.
import { LogtoProvider, useHandleSignInCallback, useLogto } from '@logto/react';
import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { config, useHello } from './encore-readme.tsx';

function Page() {
  const { isAuthenticated, isLoading, signIn, signOut } = useLogto();
  const hello = useHello();
  const [said, say] = useState('');
  if (!isAuthenticated) return <button disabled={isLoading} onClick={() => signIn(`${location.origin}/callback`)}>Sign in</button>;
  return (
    <>
      <p>Signed in</p>
      <button onClick={() => hello().then(say, (error) => say(error.message))}>Call</button>
      <button onClick={() => signOut(`${location.origin}/`)}>Sign out</button>
      {said && <output>{said}</output>}
    </>
  );
}

function Callback() {
  useHandleSignInCallback(() => location.replace('/'));
  return <p>One moment.</p>;
}

createRoot(document.getElementById('root')).render(
  <LogtoProvider config={config}>{location.pathname === '/callback' ? <Callback /> : <Page />}</LogtoProvider>,
);
